"""A grid as LaTeX: it compiles with a bare LaTeX, whatever comes from records."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.writers.latex import to_latex, to_latex_document
from bnn_ablate.report.writers.tex_letters import escaped

NASTY = "\\input{/etc/passwd} $x_1^2$ & 50 % #1 ~{}|<>\" '`` [1] -- --- *"
UNICODE = "± — – × − µ α Ω λ ≤ ° … † é ï ß ø Ł 学 🙂 \u202e"  # noqa: RUF001


def grid(name: str, rows: int, text: str = "a", columns: int = 3) -> Grid:
    words = [Column(title=f"{text} {number}", key=str(number)) for number in range(columns - 1)]
    return Grid(
        name=name,
        title=f"Table {text}",
        columns=(*words, Column(title="top-1 %", key="top1", numeric=True), Column(title="w", key="w", wide=True)),
        rows=((*(Entry(text=text) for _ in words), Entry(text="1.00", value=1, mark="m"), Entry(text="hidden")),)
        * rows,
        above=text,
        notes=(text, "m: recalled."),
    )


def test_a_short_table_floats_with_rules_caption_label_and_notes() -> None:
    assert to_latex(grid("one_two", rows=1)) == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}[tbp]\n"
        "\\centering\n"
        "\\caption{Table a}\\label{tab:one-two}\n"
        "\\begin{tabular}{@{}llr@{}}\n"
        "\\toprule\n"
        "a 0 & a 1 & top-1 \\% \\\\\n"
        "\\midrule\n"
        "a & a & 1.00\\textsuperscript{m} \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\begin{flushleft}\\footnotesize\n"
        "a\\par\n"
        "a\\par\n"
        "m: recalled.\\par\n"
        "\\end{flushleft}\n"
        "\\end{table}\n"
    )


def test_a_long_table_breaks_across_pages_and_a_wide_one_is_scaled() -> None:
    long = to_latex(grid("long", rows=60))
    assert long.startswith("% needs \\usepackage{booktabs} \\usepackage{longtable}\n")
    assert "\\begin{table}" not in long
    wide = to_latex(grid("wide", rows=2, text="a word", columns=20))
    assert wide.startswith("% needs \\usepackage{booktabs} \\usepackage{graphicx}\n")
    assert "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}" in wide


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("a_b & 5 %", r"a\_b \& 5 \%"),
        ("{$x^2$}#~\\", r"\{\$x\textasciicircum{}2\$\}\#\textasciitilde{}\textbackslash{}"),
        ("80.00 ± 0.10", r"80.00 $\pm$ 0.10"),
        ("−1 × µ α λ Ω", r"$-$1 $\times$ $\mu$ $\alpha$ $\lambda$ $\Omega$"),  # noqa: RUF001
        ("--x---y", "-{}-x-{}-{}-y"),
        ("a — b", r"a \textemdash{} b"),
        ("é ï", r"\'{e} \"{\i}"),
        ("学🙂", "{[}U+5B66{]}{[}U+1F642{]}"),
        ("a\nb\tc\x00d", "a b c d"),
    ],
)
def test_text_is_printed_and_not_obeyed(text: str, tex: str) -> None:
    assert escaped(text) == tex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex on this machine")
def test_everything_compiles_with_a_bare_latex(tmp_path: Path) -> None:
    made = [
        grid("plain", rows=2),
        grid("nasty", rows=2, text=NASTY),
        grid("unicode", rows=2, text=UNICODE),
        grid("long", rows=60, text=f"{NASTY} {UNICODE}"),
        grid("wide", rows=3, text="a word", columns=20),
    ]
    for one in made:
        (tmp_path / f"{one.name}.tex").write_text(to_latex(one), encoding="utf-8")
    (tmp_path / "all.tex").write_text(to_latex_document([one.name for one in made]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=100, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    assert "Missing character" not in log
    assert "undefined" not in log.replace("undefined references", "")
