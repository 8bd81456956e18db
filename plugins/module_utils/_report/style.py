# Copyright (c) 2026, dbops.timescale contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# This module_utils is PRIVATE: it can change in any release.
"""The style sheet of reports: one column on a phone, light and dark by what the reader's system says, and print."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2430; --soft: #5b6675; --line: #d5dbe3; --card: #f4f6f9;
  --good: #1a7a42; --warn: #8a5a00; --bad: #b3261e; --info: #1f5fa8; --goodbar: #3fa66a; --badbar: #d9534a;
  --bar: #5b8fc9; --step: #9dbfe3; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e4e8ee; --soft: #9aa6b5; --line: #313a46;
  --card: #1b212a; --good: #6fce97; --warn: #e6b455; --bad: #ff8a80; --info: #86b9f2; --goodbar: #3f9c66;
  --badbar: #d9665e; --bar: #4a7db8; --step: #34587f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p { margin: .4rem 0; overflow-wrap: anywhere; }
a { color: var(--info); }
code, pre { font: .875rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem;
  margin: .3rem 0; white-space: pre-wrap; }
small, .soft { color: var(--soft); font-size: .875rem; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem;
  font-size: .875rem; font-weight: 600; white-space: nowrap; }
.done, .created, .altered, .present, .ok, .changed { color: var(--good); }
.attention, .skipped, .pending, .drifted, .foreseen { color: var(--warn); }
.failed, .differs, .unsupported { color: var(--bad); }
.not-run { color: var(--soft); }
.verdict { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: .75rem;
  margin: 1rem 0; }
.facts > div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem;
  overflow-wrap: anywhere; }
.facts b { display: block; font-weight: 600; }
.time { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .35rem .8rem; align-items: center; }
.time svg { display: block; width: 100%; background: var(--card); border-radius: .2rem; }
.time small { white-space: nowrap; }
.time .axis { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft); }
.stage { fill: var(--bar); } .step { fill: var(--step); } .stage.bad, .step.bad { fill: var(--badbar); }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { font-size: .875rem; color: var(--soft); font-weight: 600; overflow-wrap: normal; }
td { min-width: 6rem; }
td.number, th.number { text-align: right; }
.number + :not(.number) { padding-left: .6rem; }
td a { overflow-wrap: break-word; }
td.short { min-width: 0; white-space: nowrap; }
.word { display: inline-block; max-width: 100%; }
summary { cursor: pointer; padding: .3rem 0; font-weight: 600; }
ul.names { columns: 20rem; column-gap: 2rem; margin: .3rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  .time { grid-template-columns: 1fr; gap: .15rem; }
  .time .name { margin-top: .4rem; }
  .time .gap { display: none; }
  table, tbody, tr, td { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .7rem; margin: .5rem 0; }
  td, td.number, td.short, .number + :not(.number) { border: 0; padding: .1rem 0; text-align: left;
    white-space: normal; }
  td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); font-size: .875rem; }
  td:empty { display: none; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #aaa; --card: #fff; --good: #05441f;
    --warn: #5c3c00; --bad: #8a0f08; --info: #003a75; }
  html { font-size: 11px; }
  main { max-width: none; padding: 0; }
  h2, tr, .facts > div, .time { break-inside: avoid; }
  h2 { break-after: avoid; }
  .stage, .step { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
