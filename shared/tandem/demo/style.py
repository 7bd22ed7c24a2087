"""How the pages look: one small stylesheet, for bright and dark screens."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --quiet: #6b7280; --line: #8884; --link: #0b66c3; }
@media (prefers-color-scheme: dark) { :root { --link: #7db7ff; --quiet: #9ca3af; } }
body { font: 17px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
a { color: var(--link); }
nav, .facts { color: var(--quiet); font-size: .9rem; }
h1, h2, h3 { line-height: 1.25; margin-top: 2em; }
h1 { margin-top: .5em; }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; }
code { font-size: .88em; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
blockquote { margin-left: 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--quiet); }
img { max-width: 100%; }
aside { margin-top: 3rem; padding-top: .5rem; border-top: 1px solid var(--line); }
aside h2 { font-size: 1rem; margin-top: .5em; }
details ul { list-style: none; padding-left: 0; }
.level-3 { padding-left: 1rem; }
.level-4, .level-5, .level-6 { padding-left: 2rem; }
"""
