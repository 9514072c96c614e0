"""Phantoms follow the published ages, can be repeated, and show age and sex in bone alone."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import InvalidInputError
from data.phantoms.bones import bones
from data.phantoms.drawing import PhantomTruth, anatomy, draw_hand, draw_phantoms, main
from data.phantoms.hand import Child

CARPALS = [anatomy.CENTRES[name] for name in anatomy.CARPALS]


def carpal_count(age_months: float, sex: str) -> int:
    return sum(age_months >= bone.appears[anatomy.SEXES.index(sex)] for bone in CARPALS)


def bone_area_mm2(age_months: float, sex: str) -> float:
    """By the surveyor's (shoelace) formula."""
    total = 0.0
    for part in bones(Child(age_months, sex)):
        x, y = part.outer.T
        total += abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2
    return total


@pytest.mark.parametrize(
    ("age_months", "girls", "boys"),
    [
        pytest.param(0, 0, 0, id="newborn: none"),
        pytest.param(3, 2, 1, id="3 months: hamate at 2 in girls, at 4 in boys"),
        pytest.param(24, 3, 2, id="2 years: triquetral at 21 in girls, at 29 in boys"),
        pytest.param(36, 4, 3, id="3 years: lunate at 31 in girls, at 49 in boys"),
        pytest.param(60, 7, 4, id="5 years: trapezium, trapezoid, scaphoid in girls (49, 50, 49)"),
        pytest.param(72, 7, 6, id="6 years: trapezium, scaphoid in boys (70, 68), trapezoid at 75"),
        pytest.param(120, 8, 7, id="10 years: pisiform at 108 in girls, at 132 in boys"),
        pytest.param(144, 8, 8, id="12 years: all"),
    ],
)
def test_carpal_bones_appear_at_their_published_medians(
    age_months: float, girls: int, boys: int
) -> None:
    assert carpal_count(age_months, "female") == girls
    assert carpal_count(age_months, "male") == boys


def test_girls_are_ahead_of_boys_in_every_centre() -> None:
    for centre in anatomy.CENTRES.values():
        girls, boys = centre.appears
        assert girls < boys, centre.name
        if centre.fused:
            assert centre.fused[0] < centre.fused[1], centre.name


def test_the_documented_table_is_the_one_that_is_drawn() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "phantoms.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    documented = {row[0]: row[1:] for row in rows if row[0] in anatomy.CENTRES}

    assert set(documented) == set(anatomy.CENTRES)
    for name, centre in anatomy.CENTRES.items():
        pairs = (centre.appears, centre.fuses or ("–", "–"), centre.fused or ("–", "–"))
        assert documented[name] == [str(value) for pair in pairs for value in pair], name


def test_a_newborn_shows_shafts_alone() -> None:
    # 5 metacarpals, 14 phalanges, radius and ulna
    assert len(list(bones(Child(0.0, "female")))) == 21


def test_a_girl_of_two_shows_more_centres_than_a_boy_of_two() -> None:
    girl, boy = (len(list(bones(Child(24.0, sex)))) for sex in anatomy.SEXES)
    # Shafts, then centres with a median of at most 24 months, counted in the table.
    assert (girl, boy) == (21 + 22, 21 + 12)


@pytest.mark.parametrize("sex", anatomy.SEXES)
def test_every_growth_plate_is_closed_at_eighteen(sex: str) -> None:
    assert len(anatomy.fused(216, sex)) == 21
    # 21 bones in one piece each, 8 carpal bones, the sesamoid
    assert len(list(bones(Child(216.0, sex)))) == 30


def test_distal_phalanges_fuse_first_and_the_radius_last() -> None:
    assert anatomy.fused(165, "female") == {f"distal phalanx {n}" for n in range(1, 6)}
    assert "radius" not in anatomy.fused(215, "male")
    assert len(anatomy.fused(215, "male")) == 20


@pytest.mark.parametrize("sex", anatomy.SEXES)
def test_bone_grows_with_age(sex: str) -> None:
    areas = [bone_area_mm2(age, sex) for age in (0, 24, 60, 120, 216)]

    assert areas == sorted(areas)
    assert areas[-1] > 5 * areas[0]


def test_women_have_narrower_bones_with_a_thicker_cortex() -> None:
    length = [anatomy.metacarpal_length_mm(216, sex) for sex in anatomy.SEXES]
    width = [anatomy.metacarpal_width_mm(216, sex) for sex in anatomy.SEXES]
    cortex = [anatomy.cortical_share(216, sex) for sex in anatomy.SEXES]

    assert width[0] / length[0] < 0.95 * width[1] / length[1]
    assert cortex[0] > cortex[1]


def test_a_growth_plate_is_darker_than_the_bone_around_it_until_it_fuses() -> None:
    """Along the middle of the third proximal phalanx of a boy, just beyond its base."""

    def profile(age_months: float) -> NDArray[np.uint8]:
        child = Child(age_months, "male", rays_deg=(31.0, 10.0, 0.0, -9.0, -21.0))
        canvas = np.zeros((1600, 400), np.uint8)
        for part in bones(child):
            points = np.rint(part.outer * (8, -8) + (200, 1590)).astype(np.int32)
            cv2.fillPoly(canvas, [points], 255)
        row = 1590 - 8 * np.arange(80, 130, 0.25) * child.scale
        column = 200 + 8 * 3.5 * child.scale
        return np.asarray(canvas[np.rint(row).astype(int), round(column)])

    gaps = [int((np.diff((profile(age) > 0).astype(int)) == -1).sum()) for age in (150, 216)]
    # At 12.5 years: before the metacarpal's epiphysis, the joint, behind the phalanx's epiphysis.
    assert gaps == [3, 1]


def test_the_same_arguments_give_the_same_picture() -> None:
    first, second = draw_hand(100, "female", 7), draw_hand(100, "female", 7)

    assert first.tobytes() == second.tobytes()


def test_another_process_draws_the_same_picture() -> None:
    here = hashlib.sha256(draw_hand(61.5, "male", 12).tobytes()).hexdigest()
    code = (
        "import hashlib, sys; from data.phantoms.drawing import draw_hand; "
        "sys.stdout.write(hashlib.sha256(draw_hand(61.5, 'male', 12).tobytes()).hexdigest())"
    )

    root = Path(__file__).parents[3]
    there = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)

    assert there.stdout.decode() == here


def test_drawing_leaves_the_global_random_state_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()

    np.random.seed(3)
    draw_hand(50, "male", 1)

    assert np.random.random() == expected


def test_other_seeds_give_other_hands() -> None:
    pictures = {draw_hand(100, "female", seed, 64).tobytes() for seed in range(20)}

    assert len(pictures) == 20


@pytest.mark.parametrize("size", [32, 256, 600])
def test_a_picture_is_grey_with_the_height_that_was_asked_for(size: int) -> None:
    image = draw_hand(100, "female", 1, size)

    assert image.dtype == np.uint8
    assert image.shape[0] == size
    assert 0.7 * size < image.shape[1] < size


def test_film_and_background_say_nothing_of_age_and_sex() -> None:
    """The upper left corner holds film only: it is the same for whatever hand lies on the film."""
    for seed in range(10):
        corners = {
            draw_hand(age, sex, seed)[:4, :4].tobytes()
            for age, sex in ((10, "female"), (10, "male"), (200, "female"), (200, "male"))
        }
        assert len(corners) == 1


def test_some_films_are_very_dark() -> None:
    brightest = [int(image.max()) for _, _, image in draw_phantoms(60, seed=1, size=64)]

    assert min(brightest) < 90 < 200 < max(brightest)


@pytest.mark.long
def test_phantoms_cover_all_ages_and_both_sexes_evenly() -> None:
    truths = [truth for _, truth, _ in draw_phantoms(210, seed=4, size=32)]

    assert all(truth.side == "left" for truth in truths)
    for sex in anatomy.SEXES:
        ages = [truth.age_months for truth in truths if truth.sex == sex]
        per_bin, _ = np.histogram(ages, bins=7, range=(6, 216))
        # 105 of each sex in 7 bins of 30 months
        assert per_bin.sum() == 105
        assert per_bin.min() >= 13
        assert per_bin.max() <= 17


def test_phantoms_have_names_that_are_unique_and_count_from_zero() -> None:
    names = [name for name, _, _ in draw_phantoms(3, seed=0, size=32)]

    assert names == ["phantom-000000", "phantom-000001", "phantom-000002"]


def test_more_phantoms_begin_with_the_same_ones() -> None:
    few = list(draw_phantoms(3, seed=9, size=32))
    more = list(draw_phantoms(5, seed=9, size=32))[:3]

    assert [truth for _, truth, _ in few] == [truth for _, truth, _ in more]
    assert all(np.array_equal(a, b) for (_, _, a), (_, _, b) in zip(few, more, strict=True))


def test_a_phantom_can_be_drawn_at_both_ends_of_the_ages() -> None:
    for age in (0, 228):
        assert draw_hand(age, "male", 1, 64).max() > 0


@pytest.mark.parametrize(
    ("age_months", "sex", "seed", "size", "said"),
    [
        pytest.param(-0.1, "male", 0, 256, "age", id="before birth"),
        pytest.param(228.1, "male", 0, 256, "age", id="grown up"),
        pytest.param(float("nan"), "male", 0, 256, "age", id="not a number"),
        pytest.param(100, "M", 0, 256, "sex", id="abbreviated sex"),
        pytest.param(100, "", 0, 256, "sex", id="no sex"),
        pytest.param(100, "male", -1, 256, "seed", id="negative seed"),
        pytest.param(100, "male", 0, 31, "size", id="too small"),
        pytest.param(100, "male", 0, 4097, "size", id="too large"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(
    age_months: float, sex: str, seed: int, size: int, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        draw_hand(age_months, sex, seed, size)


def test_a_negative_number_of_phantoms_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="number of phantoms"):
        next(draw_phantoms(-1, seed=0))


def test_a_truth_cannot_be_changed() -> None:
    truth = PhantomTruth(100.0, "female", "left")

    with pytest.raises(AttributeError):
        truth.sex = "male"  # type: ignore[misc]


def test_the_command_writes_a_contact_sheet(tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"

    assert main([str(target)]) == 0

    sheet = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    assert sheet is not None
    assert sheet.shape == (4 * (240 + 16), 4 * 240)


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "OUT.png" in capsys.readouterr().err


def test_the_command_says_where_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "missing" / "sheet.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err
