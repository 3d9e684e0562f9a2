"""Text that LaTeX prints and obeys none of, with no package and in its standard encodings."""

from __future__ import annotations

import re
import unicodedata

from bnn_ablate.report.numbers import one_line

#: Signs that LaTeX reads as commands, as ligatures, or, at the start of a line of a table, as an argument.
COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}

#: Signs by their names in Unicode, beside Greek and accented letters, which follow from theirs.
NAMED = {
    "PLUS-MINUS SIGN": r"$\pm$",
    "MULTIPLICATION SIGN": r"$\times$",
    "MINUS SIGN": "$-$",
    "MIDDLE DOT": r"$\cdot$",
    "LESS-THAN OR EQUAL TO": r"$\leq$",
    "GREATER-THAN OR EQUAL TO": r"$\geq$",
    "ALMOST EQUAL TO": r"$\approx$",
    "NOT EQUAL TO": r"$\neq$",
    "INFINITY": r"$\infty$",
    "RIGHTWARDS ARROW": r"$\rightarrow$",
    "MICRO SIGN": r"$\mu$",
    "EM DASH": r"\textemdash{}",
    "EN DASH": r"\textendash{}",
    "HORIZONTAL ELLIPSIS": r"\ldots{}",
    "DAGGER": r"$\dagger$",
    "DEGREE SIGN": r"$^{\circ}$",
    "SUPERSCRIPT TWO": "$^{2}$",
    "SUPERSCRIPT THREE": "$^{3}$",
    "LEFT SINGLE QUOTATION MARK": "`",
    "RIGHT SINGLE QUOTATION MARK": "'",
    "LEFT DOUBLE QUOTATION MARK": "``",
    "RIGHT DOUBLE QUOTATION MARK": "''",
    "NO-BREAK SPACE": "~",
    "LATIN SMALL LETTER SHARP S": r"{\ss}",
    "LATIN SMALL LETTER AE": r"{\ae}",
    "LATIN CAPITAL LETTER AE": r"{\AE}",
    "LATIN SMALL LETTER O WITH STROKE": r"{\o}",
    "LATIN CAPITAL LETTER O WITH STROKE": r"{\O}",
    "LATIN SMALL LETTER L WITH STROKE": r"{\l}",
    "LATIN CAPITAL LETTER L WITH STROKE": r"{\L}",
}

#: Greek letters for which LaTeX has a command of the letter's name; capitals that look Latin have none.
GREEK_SMALL = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu", "nu", "xi", "pi"),
    *("rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
GREEK_CAPITAL = ("Gamma", "Delta", "Theta", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega")

#: Accents by the code point that Unicode puts behind a letter.
ACCENTS = {
    0x300: "`",
    0x301: "'",
    0x302: "^",
    0x303: "~",
    0x304: "=",
    0x306: "u",
    0x307: ".",
    0x308: '"',
    0x30A: "r",
    0x30B: "H",
    0x30C: "v",
    0x327: "c",
}


def escaped(text: str) -> str:
    """``text`` on one line. A letter that plain LaTeX does not have is written as its code point, ``[U+1F600]``."""
    letters = "".join(_letter(letter) for letter in unicodedata.normalize("NFC", one_line(text)))
    return re.sub("-(?=-)", "-{}", letters)  # two would be a dash


def _letter(letter: str) -> str:
    if letter in COMMANDS:
        return COMMANDS[letter]
    if letter.isascii():
        return letter
    name = unicodedata.name(letter, "")
    if name in NAMED:
        return NAMED[name]
    greek = name.removeprefix("GREEK SMALL LETTER ").lower()
    if name.startswith("GREEK SMALL") and greek in GREEK_SMALL:
        return rf"$\{greek}$"
    if name.startswith("GREEK SMALL LETTER LAMDA"):  # so Unicode spells it
        return r"$\lambda$"
    greek = name.removeprefix("GREEK CAPITAL LETTER ").capitalize()
    if name.startswith("GREEK CAPITAL") and greek in GREEK_CAPITAL:
        return rf"$\{greek}$"
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and ord(parts[1]) in ACCENTS:
        dotless = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return rf"\{ACCENTS[ord(parts[1])]}{{{dotless}}}"
    return rf"{{[}}U+{ord(letter):04X}{{]}}"
