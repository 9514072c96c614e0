"""DICOM files: what is known of a film, and its pixels as a viewer shows them."""
