"""Doubles as RapidJSON 1.1 reads and prints them: close to the right ones, but not always the nearest or the shortest.

TensorFlow Serving reads JSON without kParseFullPrecisionFlag: the digits become a double, which is then multiplied with
or divided by a power of ten, so that the last digit may be off. It prints with Grisu2 (F. Loitsch, "Printing
floating-point numbers quickly and accurately with integers", 2010), whose answer always reads back as the same double
and in one case of a thousand has a digit too many. Clients see both in error texts.
"""

import functools
import math
import re
import struct

_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
# Up to here both its digits and its power of ten are exact doubles, so that one division rounds right.
_EXACT_LENGTH = 16
_MOST_EXACT, _SIGNIFICANT, _MOST_POWER = 2**53 - 1, 17, 308
_NEARLY_TOO_BIG = 1.7976931348623157e307
_LONGEST_POWER = 12  # digits; more of them make no difference
_POWERS = [float(f"1e{power}") for power in range(_MOST_POWER + 1)]

_WORD_BITS, _HIDDEN_BIT, _BIAS = 64, 1 << 52, 1075
_LOG10_OF_2 = 0.30102999566398114
_LONG_POINT, _SHORT_POINT = 21, -6
_LAST_SCALED = 9  # RapidJSON knows the powers of ten of 32 bits; past them it no longer looks for a closer digit


def read_double(text: str) -> float:
    """The double that RapidJSON reads in a JSON number, when it does not read an integer.

    Raises:
        OverflowError: it calls the number too big.
    """
    if len(text) <= _EXACT_LENGTH and "e" not in text and "E" not in text:
        return float(text)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    minus, whole, fraction, sign, power = match.groups(default="")
    value, places = _with_fraction(whole, fraction, 2**63 if minus else 2**64 - 1)
    exponent = int(power.lstrip("0")[:_LONGEST_POWER] or 0)
    if sign != "-" and exponent > _MOST_POWER + places:
        raise OverflowError(text)
    value = _scaled(value, (-exponent if sign == "-" else exponent) - places)
    return -value if minus else value


def _with_fraction(whole: str, fraction: str, most: int) -> tuple[float, int]:
    """All digits before the exponent as one number, and how many of them stand behind the point."""
    exact, significant = _leading(whole, most)
    value, places = float(exact), 0
    if significant + 1 < len(whole):
        for digit in whole[significant + 1 :]:
            if value >= _NEARLY_TOO_BIG:
                raise OverflowError(whole)
            value = value * 10 + int(digit)
    else:
        for digit in fraction:
            if exact > _MOST_EXACT:
                break
            exact, places = exact * 10 + int(digit), places + 1
            significant += exact != 0
        value = float(exact)
    for digit in fraction[places:]:
        if significant >= _SIGNIFICANT:
            break
        value, places = value * 10.0 + int(digit), places + 1
        significant += value > 0
    return value, places


def _leading(whole: str, most: int) -> tuple[int, int]:
    """As many digits as an integer holds; how many there are of them besides the first, which is how it counts."""
    length = min(len(whole), len(str(most)))
    if int(whole[:length]) > most:
        length -= 1
    return int(whole[:length]), length - 1


def _scaled(value: float, power: int) -> float:
    if power < -_MOST_POWER:
        return _scaled(value / _POWERS[_MOST_POWER], power + _MOST_POWER) if power >= -2 * _MOST_POWER else 0.0
    return value * _POWERS[power] if power >= 0 else value / _POWERS[-power]


def double_text(value: float) -> str:
    """A finite double as RapidJSON prints it: an exponent only for the very large and small."""
    minus = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return f"{minus}0.0"
    digits, power = _digits(abs(value))
    point = len(digits) + power
    if power >= 0 and point <= _LONG_POINT:
        return f"{minus}{digits}{'0' * power}.0"
    if 0 < point <= _LONG_POINT:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if _SHORT_POINT < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{minus}{mantissa}e{point - 1}"


def _digits(value: float) -> tuple[str, int]:
    """Grisu2: digits and a power of ten between the two neighbours' midpoints, found with 64-bit integers."""
    biased, significand = divmod(int.from_bytes(struct.pack(">d", value)), _HIDDEN_BIT)
    significand += _HIDDEN_BIT if biased else 0
    exponent = max(biased, 1) - _BIAS
    above, high = _normalized(2 * significand + 1, exponent - 1)
    # Below a power of two the next double is only half as far away.
    narrow = significand == _HIDDEN_BIT
    below, low = (4 * significand - 1, exponent - 2) if narrow else (2 * significand - 1, exponent - 1)
    below <<= low - high
    exact, _ = _normalized(significand, exponent)
    cached, binary, power = _cached_power(high)
    most, least, middle = _product(above, cached) - 1, _product(below, cached) + 1, _product(exact, cached)
    return _generated(middle, most, most - least, -(high + binary + _WORD_BITS), power)


def _normalized(significand: int, exponent: int) -> tuple[int, int]:
    shift = _WORD_BITS - significand.bit_length()
    return significand << shift, exponent - shift


def _product(left: int, right: int) -> int:
    return (left * right + (1 << (_WORD_BITS - 1))) >> _WORD_BITS


def _cached_power(exponent: int) -> tuple[int, int, int]:
    """A power of ten (there is every eighth) that brings an exponent near -61: bits, their exponent, minus its own."""
    index = (math.ceil((-61 - exponent) * _LOG10_OF_2 + 347) >> 3) + 1
    return (*_power_of_ten(-348 + 8 * index), 348 - 8 * index)


@functools.cache
def _power_of_ten(power: int) -> tuple[int, int]:
    """The nearest number of 64 bits, and the exponent of two that it is multiplied with."""
    if power >= 0:
        shift = (10**power).bit_length() - _WORD_BITS
        return (10**power << -shift if shift <= 0 else (10**power + (1 << (shift - 1))) >> shift), shift
    shift = (10**-power).bit_length() + _WORD_BITS - 1
    return ((2 << shift) // 10**-power + 1) >> 1, -shift


def _generated(middle: int, most: int, delta: int, shift: int, power: int) -> tuple[str, int]:
    """Digits of `most` until what is left out is less than delta, the last one then brought nearer to the middle."""
    one = 1 << shift
    whole, rest = most >> shift, most & (one - 1)
    gap, digits, kappa = most - middle, "", min(len(str(whole)), 9)
    while kappa > 0:
        kappa -= 1
        digit, whole = divmod(whole, 10**kappa)
        digits += str(digit) if digit or digits else ""
        left = (whole << shift) + rest
        if left <= delta:
            return _nearer(digits, delta, left, 10**kappa << shift, gap), power + kappa
    while True:
        rest, delta, kappa = rest * 10, delta * 10, kappa - 1
        digit, rest = rest >> shift, rest & (one - 1)
        digits += str(digit) if digit or digits else ""
        if rest < delta:
            scaled = gap * 10**-kappa if -kappa < _LAST_SCALED else 0
            return _nearer(digits, delta, rest, one, scaled), power + kappa


def _nearer(digits: str, delta: int, left: int, step: int, gap: int) -> str:
    last = int(digits[-1])
    while left < gap and delta - left >= step and (left + step < gap or gap - left > left + step - gap):
        last, left = last - 1, left + step
    return digits[:-1] + str(last)
