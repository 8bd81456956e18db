# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""Pieces of HTML. Every text goes through text(), which leaves nothing that HTML or Jinja would read as its own."""

from __future__ import annotations

import html
import re
import typing as t

from .style import STYLE

__all__ = ["badge", "document", "duration", "name", "section", "table", "text"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def text(value: t.Any) -> str:
    """Any value as text of a page. Braces become entities too: a name like {{ x }} must never be a template."""
    shown = "" if value is None else str(value)
    clean = "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in shown)
    return html.escape(clean, quote=True).replace("{", "&#123;").replace("}", "&#125;")


def name(value: t.Any) -> str:
    """An object's name or an address as text that may go on in the next line after its dots, dashes and slashes."""
    return re.sub(r"([._:/]+)", r"\1<wbr>", text(value))


def document(title: str, body: str) -> str:
    """A whole page that loads nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n"
        "</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing when there is nothing."""
    body = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def badge(outcome: str) -> str:
    """An outcome as a coloured word; the word alone says it too."""
    name = "".join(letter if letter.isalpha() else "-" for letter in outcome)
    return f'<span class="badge {text(name)}">{text(outcome)}</span>'


def table(
    head: t.Sequence[str],
    rows: t.Iterable[t.Sequence[str]],
    numbers: t.Collection[int] = (),
    short: t.Collection[int] = (),
) -> str:
    """A table that becomes a list of cards on a phone. A column without any cell is left out.

    :param rows: cells of finished HTML.
    :param numbers: columns to align right.
    :param short: columns whose cells stay on one line.
    """
    lines = list(rows)
    shown = [place for place in range(len(head)) if any(line[place] for line in lines)]

    def kind(place: int) -> str:
        names = [name for name, places in (("number", numbers), ("short", short)) if place in places]
        return f' class="{" ".join(names)}"' if names else ""

    def cell(place: int, content: str) -> str:
        return f'<td{kind(place)} data-label="{text(head[place])}">{content}</td>' if content else "<td></td>"

    body = "\n".join(f"<tr>{''.join(cell(place, line[place]) for place in shown)}</tr>" for line in lines)
    if not body:
        return ""
    titles = "".join(f"<th{kind(place)}>{text(head[place])}</th>" for place in shown)
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def duration(milliseconds: t.Any) -> str:
    """A time span for people."""
    if not isinstance(milliseconds, (int, float)):
        return ""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2f} s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
