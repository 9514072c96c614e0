"""The words of a DICOM file that may be kept: terms that the standard defines, nothing else.

A value that is in none of these lists is dropped, whatever it is: a name typed into the field for
the body part goes no further.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from data.errors import InvalidInputError

LATERALITIES = {"L": "left", "R": "right", "B": "both", "U": "unpaired"}
"""Laterality (0020,0060), Image Laterality (0020,0062), Frame Laterality (0020,9072)."""

SEXES = {"M": "male", "F": "female"}
"""Patient's Sex (0010,0040); `O` (other) and an empty value say nothing."""

_MODALITIES = "CR DX RG XA RF MG IO PX SC OT XC CT MR US NM PT BMD"
MODALITIES = frozenset(_MODALITIES.split())
"""Modality (0008,0060), PS3.3 C.7.3.1.1.1, as far as radiographs are found under it."""

_VIEWS = "AP PA LL RL RLD LLD RLO LLO CC MLO ML LM LATERAL OBLIQUE TANGENTIAL AXIAL"
VIEWS = frozenset(_VIEWS.split())
"""View Position (0018,5101), PS3.3 C.8.1.1, C.8.11.5 and C.8.11.7, and what devices write."""

_BODY_PARTS = """
ABDOMEN ABDOMENPELVIS ACJOINT ANKLE ARM AXILLA BACK BREAST BRONCHUS CALCANEUS CAROTID CEREBELLUM
CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CSPINE CTSPINE DUODENUM EAR
ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT FOREARM GALLBLADDER HAND HEAD
HEADNECK HIP HUMERUS IAC ILIUM JAW JAWREGION KIDNEY KNEE LEG LIVER LOWERARM LOWERLEG LSPINE
LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NOSE ORBIT PANCREAS PATELLA PELVIS PENIS
PHARYNX PROSTATE RADIUS RADIUSULNA RECTUM RIB SACRUM SCALP SCAPULA SCLERA SHOULDER SIJOINT SINUS
SKULL SPINE STERNUM STOMACH TESTIS THIGH THUMB THYMUS THYROID TIBIA TIBIAFIBULA TLSPINE TMJ TOE
TONGUE TRACHEA TSPINE ULNA UPPERARM UPPERLEG URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST
ZYGOMA
"""
BODY_PARTS = frozenset(_BODY_PARTS.split())
"""Body Part Examined (0018,0015), PS3.16 Annex L, and terms that devices write beside them."""


def term(value: str, allowed: Iterable[str]) -> str:
    """Returns a value in capitals if it is an allowed term, otherwise an empty text."""
    word = value.strip().upper()
    return word if word in allowed else ""


def chosen_terms(text: str, allowed: frozenset[str], what: str) -> frozenset[str]:
    """Reads a user's list of terms, divided by commas; empty: no choice.

    Raises:
        InvalidInputError: One of them is no term of the standard.
    """
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in allowed:
            near = get_close_matches(word, sorted(allowed), cutoff=0.5) or sorted(allowed)[:3]
            raise InvalidInputError(
                f"{word} is no {what} that DICOM defines; terms are written like {', '.join(near)}."
            )
    return frozenset(words)
