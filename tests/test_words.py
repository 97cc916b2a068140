"The page has no words of its own: templates and script name them, and each language has them all."
import re

import pytest
from conftest import ROOT

from aivd_nb.words import languages, words

TEMPLATES = sorted((ROOT/"aivd_nb/templates").glob("*.html"))
SCRIPT = (ROOT/"aivd_nb/static/app.js").read_text(encoding="utf-8")
NAMES = {"aivd", "aivd-nb"} # of the product


def test_languages_have_the_same_keys_and_no_empty_text():
    assert set(languages()) >= {"en", "de"}
    for code in languages():
        assert set(words(code)) == set(words("en"))
        assert all(v.strip() for v in words(code).values())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_templates_hold_no_word(path):
    "What is left of a template without its expressions, tags and styles"
    text = re.sub(r"(?s){#.*?#}|{%.*?%}|{{.*?}}", "", path.read_text(encoding="utf-8"))
    shown = re.findall(r'(?:alt|title|aria-label|placeholder)="([^"]*)"', text) + re.sub(r"(?s)<[^>]*>|&\w+;", " ", text).split()
    assert [w for w in shown if re.search(r"[^\W\d_]", w) and w not in NAMES] == []


def test_every_key_that_is_named_is_there():
    named = set(re.findall(r'\b(?:t|phrase)\("([^"]+)"', SCRIPT))
    for p in TEMPLATES: named |= set(re.findall(r"\bt\([\"']([^\"']+)[\"'][,)]", p.read_text(encoding="utf-8")))
    assert len(named) > 100 and named - set(words("en")) == set()
