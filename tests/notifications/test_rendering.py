"""Rendering: what a template and its data become, and what they cannot do."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.kernel.errors import InvalidInputError
from posthouse.notifications.budget import MAX_OUTPUT, MAX_STEPS
from posthouse.notifications.errors import (
    NotificationInvalidError,
    RenderBudgetError,
    TemplateInvalidError,
    TemplateVariableMissingError,
)
from posthouse.notifications.model import Channel, EmailContent, PushContent, SmsContent
from posthouse.notifications.plaintext import text_of
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.templating import Compiled, compile_inline, compile_template

CORPUS = Path(__file__).parent.parent / "corpora" / "templates"

NAUGHTY: list[str] = json.loads((CORPUS.parent / "blns" / "blns.json").read_text("utf-8"))


def lines(name: str) -> list[str]:
    return (CORPUS / name).read_text("utf-8").splitlines()


def content(email: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"default_locale": "en", "locales": {"en": {"email": email}}, **more}


def email_of(compiled: Compiled, locale: str | None = None, **variables: Any) -> EmailContent:
    found = Renderer().render(compiled, Channel.EMAIL, locale, variables)
    assert isinstance(found, EmailContent)
    return found


def sms(text: str, locale: str | None = None, **variables: Any) -> str:
    compiled = compile_inline({"text": text})
    found = Renderer().render(compiled, Channel.SMS, locale, variables)
    assert isinstance(found, SmsContent)
    return found.text


def html(source: str, **variables: Any) -> str:
    compiled = compile_inline({"subject": "s", "text": "t", "html": source})
    return email_of(compiled, **variables).html or ""


@pytest.mark.parametrize("source", lines("escapes.txt"))
def test_what_reaches_out_of_the_data_is_refused(source: str) -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        compile_inline({"text": source})
    (field, *_) = refused.value.fields
    assert field.field == "body.content.text"
    assert field.message.startswith("line 1: ")


@pytest.mark.parametrize("source", lines("escapes.txt"))
def test_a_published_template_is_held_to_the_same(source: str) -> None:
    for part in ("subject", "text", "html", "mjml"):
        email = {"subject": "s", "text": "t", part: source}
        with pytest.raises(TemplateInvalidError):
            compile_template(content(email), None)


@pytest.mark.parametrize("source", lines("bombs.txt"))
def test_a_bomb_ends_and_gives_little(source: str) -> None:
    data: dict[str, Any] = {
        "big": list(range(5000)),
        "long": "a" * 500_000,
        "deep": {"a": {"b": 1}},
    }
    try:
        made = sms(source + "x", **data)
    except (RenderBudgetError, TemplateInvalidError):
        return
    assert len(made) <= MAX_OUTPUT


def test_all_loops_together_have_one_budget() -> None:
    side = int(MAX_STEPS**0.5)
    fits = "{% for a in range(" + str(side - 1) + ") %}{% for b in range(" + str(side - 1) + ") %}x"
    assert len(sms(fits + "{% endfor %}{% endfor %}")) == (side - 1) ** 2
    too_many = fits.replace(str(side - 1), str(side + 1))
    with pytest.raises(RenderBudgetError):
        sms(too_many + "{% endfor %}{% endfor %}")


@pytest.mark.parametrize("source", ["{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
    "{% if a %}" * 300 + "x" + "{% endif %}" * 300, "{{ a" + "|e" * 3000 + " }}", "{{ a" + ".b" * 3000 + " }}",  # noqa: E501
    "{{ " + "-" * 3000 + "1 }}", "{{ 1" + "+1" * 9000 + " }}", "{{ x }}" * 501, "x" * 300_000,
    "{{ [" + "1," * 3000 + "] }}", "{{ " + "9" * 5000 + " }}", "{# " * 5000])  # fmt: skip
def test_a_source_that_is_hard_to_compile_is_refused(source: str) -> None:
    with pytest.raises(InvalidInputError):
        sms(source, a=1, x=1)


@pytest.mark.parametrize("value", NAUGHTY)
def test_texts_that_broke_others_break_nothing_here(value: str) -> None:
    compiled = compile_inline({"subject": "a {{ x }}", "text": "{{ x }}", "html": "<p>{{ x }}</p>"})
    for channel in Channel:
        with suppress(InvalidInputError):
            made = Renderer().render(compiled, channel, None, {"x": value})
            assert "<script" not in (getattr(made, "html", None) or "")
    with suppress(InvalidInputError):
        email_of(compile_inline({"subject": "s", "text": value or "x", "html": value or "x"}))


@settings(deadline=None)
@given(st.text(), st.text(alphabet="<>&\"'/ =abc", max_size=60))
def test_no_data_can_make_a_tag_or_leave_an_attribute(anything: str, tricky: str) -> None:
    for value in (anything, tricky):
        source = '<p title="{{ x }}">{{ x }}{{ x|upper }}{{ x|e|replace("&", x) }}{{ x ~ x }}</p>'
        made = html(source, x=value)
        inside = made.removeprefix('<p title="').removesuffix("</p>")
        title, _, text = inside.partition('">')
        assert not set(title) & set("<>\"'")
        assert not set(text) & set("<>\"'")


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)))  # fmt: skip  # noqa: E501
def test_whatever_the_data_is_it_ends_in_a_message_or_in_an_error_of_ours(data: Any) -> None:
    source = (
        "{{ x|default('') }}{% for a in x %}{{ a|upper }}{{ x[a] }}{% endfor %}{{ x.a }}{{ x+1 }}"
        "{{ x|number }}{{ x|date }}{{ x|money('EUR') }}{{ x|length }}{{ x * 2 }}{{ x < 3 }}"
    )
    for part in (source, *(f"x{{{{ {rest}" for rest in source.split("{{ ")[1:] if "%" not in rest)):
        with suppress(InvalidInputError):
            sms(part, x=data)


def test_what_is_unknown_is_named() -> None:
    with pytest.raises(TemplateVariableMissingError) as refused:
        sms("Hello {{ person.nick }}", person={"name": "Ann"})
    assert refused.value.fields[0].field == "body.data.nick"


def test_what_cannot_be_done_names_the_line() -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        sms("Hello\n\n{{ name / 2 }}", name="Ann")
    assert refused.value.fields[0].message.startswith("line 3: ")


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x00", "\x0b", "\x85", "\u2028"])
def test_a_subject_is_one_line_whatever_the_data_is(separator: str) -> None:
    compiled = compile_inline({"subject": "Hello {{ name }}!", "text": "t"})
    with pytest.raises(NotificationInvalidError):
        email_of(compiled, name=f"Ann{separator}Bcc: eve@example.com")
    with pytest.raises(TemplateInvalidError):
        compile_inline({"subject": f"Hello{separator}Bcc: eve@example.com", "text": "t"})


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "data:text/html,x", "JAVASCRIPT:1", "x y"]
)
def test_a_push_leads_to_an_address(target: str) -> None:
    compiled = compile_inline({"title": "Hi", "body": "There", "url": "{{ url }}"})
    with pytest.raises(NotificationInvalidError):
        Renderer().render(compiled, Channel.PUSH, None, {"url": target})
    found = Renderer().render(compiled, Channel.PUSH, None, {"url": "https://example.com/a"})
    assert found == PushContent("Hi", "There", "https://example.com/a")


def test_one_content_serves_each_channel_that_it_has_words_for() -> None:
    compiled = compile_inline({"subject": "Hi", "text": "There"})
    assert compiled.channels == frozenset(Channel)
    made = {channel: Renderer().render(compiled, channel, None, {}) for channel in Channel}
    assert made == {
        Channel.EMAIL: EmailContent("Hi", "There"),
        Channel.SMS: SmsContent("There"),
        Channel.PUSH: PushContent("Hi", "There"),
    }
    assert compile_inline({"text": "There"}).channels == {Channel.SMS}
    assert compile_inline({"title": "Hi", "body": "There"}).channels == {Channel.PUSH}
    assert compile_inline({"subject": "Hi", "html": "<p>There</p>"}).channels == {Channel.EMAIL}


def test_a_content_that_says_nothing_or_more_than_it_may_is_refused() -> None:
    for bad in ({}, {"subject": "x"}, {"text": ""}, {"text": 5}, {"mjml": "x"}, {"url": "x"}):
        with pytest.raises(TemplateInvalidError):
            compile_inline(bad)


def in_languages(**texts: str) -> Compiled:
    locales = {name.replace("_", "-"): {"sms": {"text": text}} for name, text in texts.items()}
    return compile_template({"default_locale": "en", "locales": locales}, None)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("de-AT", "Servus"), ("de-CH", "Hallo"), ("DE_at", "Servus"), ("de", "Hallo"),
        ("zh-Hant-TW", "Hant"), ("zh-TW", "zh"), ("fr", "Hello"), (None, "Hello"), ("!", "Hello"),
    ],
)  # fmt: skip
def test_a_language_falls_back_on_a_wider_one_and_then_on_the_default(
    wanted: str | None, got: str
) -> None:
    compiled = in_languages(en="Hello", de="Hallo", de_AT="Servus", zh="zh", zh_hant="Hant")
    assert Renderer().render(compiled, Channel.SMS, wanted, {}) == SmsContent(got)


def test_a_channel_that_a_language_lacks_comes_from_the_default() -> None:
    locales = {"en": {"sms": {"text": "en"}, "push": {"title": "a", "body": "b"}},
               "de": {"push": {"title": "ä", "body": "b"}}}  # fmt: skip
    compiled = compile_template({"default_locale": "en", "locales": locales}, None)
    assert Renderer().render(compiled, Channel.SMS, "de", {}) == SmsContent("en")
    locales["de"]["email"] = {"subject": "a", "text": "b"}
    with pytest.raises(TemplateInvalidError) as refused:
        compile_template({"default_locale": "en", "locales": locales}, None)
    assert refused.value.fields[0].field == "locales.en.email"


@pytest.mark.parametrize(
    ("locale", "number", "amount", "day"),
    [
        ("en", "1,234.5", "1,234.50\u00a0EUR", "30 Nov 2026"),
        ("en-US", "1,234.5", "1,234.50\u00a0EUR", "Nov 30, 2026"),
        ("de", "1.234,5", "1.234,50\u00a0EUR", "30.11.2026"),
        ("de-CH", "1\u2019234.5", "1\u2019234.50\u00a0EUR", "30.11.2026"),
        ("fr", "1\u202f234,5", "1\u202f234,50\u00a0EUR", "30/11/2026"),
        ("sv", "1\u202f234,5", "1\u202f234,50\u00a0EUR", "2026-11-30"),
        ("nl", "1.234,5", "1.234,50\u00a0EUR", "30-11-2026"),
    ],
)
def test_figures_are_written_as_the_language_does(
    locale: str, number: str, amount: str, day: str
) -> None:
    source = "{{ n|number }};{{ n|money('eur') }};{{ at|date }}"
    assert sms(source, locale, n="1234.5", at="2026-11-30T23:00:00Z") == f"{number};{amount};{day}"


def test_figures_follow_the_text_when_it_is_not_in_the_readers_language() -> None:
    compiled = in_languages(en="{{ 1234.5|number }}", de="{{ 1234.5|number }}")
    made = [Renderer().render(compiled, Channel.SMS, one, {}) for one in ("fr", "de-CH")]
    assert made == [SmsContent("1,234.5"), SmsContent("1\u2019234.5")]


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ 'aB c'|upper }}{{ 'aB'|lower }}{{ 'ab cd'|title }}{{ 'ab'|capitalize }}", "AB CabAb CdAb"),  # noqa: E501
        ("{{ ' a '|trim }}|{{ 'one two three'|truncate(9) }}", "a|one two…"),
        ("{{ [1, 2]|join('-') }} {{ [1, 2]|length }} {{ [1, 2]|first }} {{ [1, 2]|last }}", "1-2 2 1 2"),  # noqa: E501
        ("{{ 2.567|round(1) }} {{ 2.5|int }} {{ 'x'|int(7) }} {{ -2|abs }} {{ '1.5'|float }}", "2.6 2 7 2 1.5"),  # noqa: E501
        ("{{ 'aXa'|replace('X', 'b') }} {{ n|default('none') }} {{ ''|default('e', true) }}", "aba none e"),  # noqa: E501
        ("{% for k, v in {'a': 1}|items %}{{ k }}{{ v }}{{ loop.index }}{% endfor %}", "a11"),
        ("{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 3 }} {{ 2 * 3 }} {{ 'a' + 'b' }} {{ 'a' ~ 1 }}", "3 3 8 6 ab a1"),  # noqa: E501
        ("{{ 'a' in ['a'] }} {{ 1 < 2 < 3 }} {{ none }}{{ x is defined }}", "true true false"),
        ("{% for a in [] %}x{% else %}none{% endfor %}{% if not x is defined %}y{% endif %}", "noney"),  # noqa: E501
        ("{# nothing #}a{% raw %}{{ b }}{% endraw %}", "a{{ b }}"),
    ],
)  # fmt: skip
def test_the_language_can(source: str, made: str) -> None:
    assert sms(source) == made


ORDER: dict[str, Any] = {
    "order": {"id": 7, "lines": [{"name": "A & B", "price": 9.5}, {"name": "<C>", "price": 3}]},
    "links": {"shop": "https://example.com/?a=1&b=2"},
}
MJML = """<mj-section><mj-column>
  <mj-text><h1>Order {{ order["id"] }}</h1>
    {% for line in order.lines if line.price > 1 and 1 < 2 %}<p>{{ line.name }}</p>{% endfor %}
    <a href="{{ links["shop"] }}">Shop</a></mj-text>
  {% if order.id %}<mj-text>Thanks</mj-text>{% endif %}
</mj-column></mj-section>"""


def test_mjml_keeps_what_the_template_says() -> None:
    compiled = compile_template(content({"subject": "s", "mjml": MJML}), None)
    made = email_of(compiled, **ORDER)
    assert made.html is not None
    assert "A &amp; B</p><p>&lt;C&gt;</p>" in made.html
    assert 'href="https://example.com/?a=1&amp;b=2"' in made.html
    assert "mj-" not in made.html.replace("mj-column-per-100", "").replace("mj-outlook", "")
    assert "googleapis" not in made.html
    assert made.text == (
        "Order 7\n\nA & B\n\n<C>\n\nShop (https://example.com/?a=1&b=2)\n\nThanks"
    ).replace(")\n\nThanks", ")\nThanks")


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("<mj-section>\n<mj-column>\n{% if %}</mj-column></mj-section>", 3, "expected"),
        ("<mj-section>\n<mj-colum></mj-colum></mj-section>", 2, "MJML"),
        ('<mj-include path="/etc/passwd" />', 1, "MJML"),
    ],
)
def test_mjml_that_is_none_names_the_line(source: str, line: int, words: str) -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        compile_template(content({"subject": "s", "mjml": source}), None)
    (field,) = refused.value.fields
    assert field.field == "locales.en.email.mjml"
    assert field.message.startswith(f"line {line}: ")
    assert words.lower() in field.message.lower()


def test_a_layout_is_around_the_html_and_the_text() -> None:
    layout = {
        "mjml": "<mjml><mj-body><mj-section><mj-column><mj-text>Shop Ltd</mj-text></mj-column>"
        "</mj-section>{{ content }}<mj-raw><p>{{ recipient.name }}</p></mj-raw></mj-body></mjml>",
        "text": "Shop Ltd\n\n{{ content }}\n-- \n{{ recipient.name }}",
    }
    given = {"subject": "s", "mjml": MJML, "text": "Order {{ order.id }}"}
    made = email_of(compile_template(content(given), layout), recipient={"name": "Ann"}, **ORDER)
    assert made.html is not None
    assert made.html.index("Shop Ltd") < made.html.index("Order 7") < made.html.index("<p>Ann</p>")
    assert made.text == "Shop Ltd\n\nOrder 7\n-- \nAnn"
    without = {"subject": "s", "html": "<p>Order <b>{{ order.id }}</b></p>"}
    short = email_of(compile_template(content(without), layout), recipient={"name": "A"}, **ORDER)
    assert short.text == "Shop Ltd\n\nOrder 7\n-- \nA"
    of_html = compile_template(content({"subject": "s", "html": "<b>{{ order.id }}</b>"}), layout)
    assert "<b>7</b>" in (email_of(of_html, recipient={"name": "Ann"}, **ORDER).html or "")


@pytest.mark.parametrize("layout", [{}, {"html": "x"}, {"html": "{{ content }}{{ content }}"},
    {"html": "{{ content }}", "mjml": "{{ content }}"}, {"html": "{{ content }}", "x": "y"},
    {"html": "{{ content }}{% set a = 1 %}"}, {"html": "{{ content }}", "text": "x"}])  # fmt: skip
def test_a_layout_that_has_no_room_is_refused(layout: dict[str, Any]) -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        compile_template(content({"subject": "s", "html": "<p>x</p>"}), layout)
    assert refused.value.fields[0].field.startswith("layout")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<h1>A</h1><p>b <b>c</b>\n d</p>", "A\n\nb c d"),
        ("<ul><li>a<li>b</ul><ol><li>x</li><li>y</li></ol>", "- a\n- b\n\n1. x\n2. y"),
        ('<a href="https://a.example/">go</a>!', "go (https://a.example/)!"),
        ('<a href="https://a.example/">https://a.example/</a>', "https://a.example/"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        ('<a href="https://a.example/"><p>go</p><p>now</p></a>', "go (https://a.example/)\n\nnow"),
        ('<a href="https://a.example/"><img src="x"></a><a href="#x">y</a>', "https://a.example/y"),
        ('<a href="https://a.example/">a<a href="https://b.example/">b</a>', "a (https://a.example/)b (https://b.example/)"),  # noqa: E501
        ('<p title="a > b">x</p><!-- <p>y</p> --><!doctype html><?php z ?>1 < 2 </ 3', "x\n\n1 < 2 </ 3"),  # noqa: E501
        ('<p>x</p><!-- never', "x"), ('<p>x</p><b never', "x"), ("a<style>b", "a"),
        ("<svg><svg><text>x</text></svg>y</svg>z&#99999999999;&#x41;", "z\ufffdA"),
        ("<style>x{}</style><script>y</script><p>z</p><title>t</title>", "z"),
        ('<div style="display: none">hidden<br><b>x</b></div>seen', "seen"),
        ('<p><img src="x" alt="A cat"> &amp; &lt;dog&gt; &#123;&#123; x }}</p>', "A cat & <dog> {{ x }}"),  # noqa: E501
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<p>{% if x is defined %}no{% else %}yes{% endif %}</p>", "yes"),
        ("<ul>{% for a in range(2) %}<li>{{ a }}</li>{% endfor %}</ul>", "- 0\n- 1"),
        ("<p>a</p>{% for a in range(0) %}<p>{{ a }}</p>{% endfor %}<p>b</p>", "a\n\nb"),
    ],
)  # fmt: skip
def test_a_text_is_made_of_the_html(source: str, text: str) -> None:
    assert email_of(compile_inline({"subject": "s", "html": source})).text == text


@settings(deadline=None)
@given(st.text(alphabet='<>/="abip liul{%}#&;\n', max_size=200))
def test_a_text_is_made_of_any_html_that_is_a_template(source: str) -> None:
    with suppress(InvalidInputError):
        email_of(compile_inline({"subject": "s", "html": f"<p>x</p>{source}"}))


@pytest.mark.parametrize("piece", [
    "<!--", "<!", "<?", "</", "<a ", "<a b=", "<a b='", '<a b="', "<", "&", "&#", "&#9", "<![CDATA[", "<![if ",  # noqa: E501
    "<p>", "<ul>", "<a href=x>", "<div style='display:none'>", "</div>", " ", "<title></title ", "<script>", "<li>x",  # noqa: E501
])  # fmt: skip
def test_no_html_takes_long_to_read(piece: str) -> None:
    """A reader that goes back at each piece would take minutes over this."""
    assert len(text_of(piece * 20_000)) < 1_000_000


def test_an_email_that_is_only_a_picture_has_its_subject_for_a_text() -> None:
    made = email_of(compile_inline({"subject": "Hi {{ x }}", "html": "<img src='y'>"}), x="you")
    assert (made.subject, made.text) == ("Hi you", "Hi you")


def test_what_nothing_is_left_of_is_refused() -> None:
    for name, inline in (
        ("subject", {"subject": "{{ x }}", "text": "t"}),
        ("text", {"text": "{{ x }}"}),
        ("body", {"title": "t", "body": "{{ x }}"}),
    ):
        compiled = compile_inline(inline)
        (channel, *_) = sorted(compiled.channels)
        with pytest.raises(NotificationInvalidError) as refused:
            Renderer().render(compiled, channel, None, {"x": " "})
        assert refused.value.fields[0].field.endswith(name)


def test_an_attribute_needs_its_quotes() -> None:
    with pytest.raises(TemplateInvalidError):
        compile_inline({"subject": "s", "html": "<p>\n<a href={{ x }}>y</a>"})


def test_without_a_schema_the_names_that_are_used_are_needed() -> None:
    source = (
        "{{ a.b }}{% if c is defined %}{{ c }}{% endif %}{{ d|default(1) }}{{ recipient.name }}"
    )
    compiled = compile_inline({"text": source, "subject": "{{ e }}"})
    compiled.check({"a": {}, "e": 1})
    compiled.check({"a": {}}, channels=[Channel.SMS])
    with pytest.raises(TemplateVariableMissingError) as refused:
        compiled.check({"x": 1})
    assert [one.field for one in refused.value.fields] == ["body.data.a", "body.data.e"]


def test_with_a_schema_the_schema_says_what_is_needed() -> None:
    schema = {
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"required": ["id"], "properties": {"id": {"type": "integer"}}}},
    }
    compiled = compile_template(content({"subject": "{{ x }}", "text": "t"}, schema=schema), None)
    compiled.check({"order": {"id": 1}})
    for data, field in (
        ({}, "body.data.order"),
        ({"order": {}}, "body.data.order.id"),
        ({"order": {"id": "x"}}, "body.data.order.id"),
    ):
        with pytest.raises(TemplateVariableMissingError) as refused:
            compiled.check(data)
        assert [one.field for one in refused.value.fields] == [field]


@pytest.mark.parametrize("schema", [5, {"type": "nothing"}, {"$ref": "#"}, {"$ref": "https://example.com"},
    {"allOf": [{"$dynamicRef": "#a"}]}, {"pattern": "("}, {"enum": ["x" * 40_000]},
    {"anyOf": [{} for _ in range(1001)]}])  # fmt: skip
def test_a_schema_that_is_none_or_refers_to_something_is_refused(schema: Any) -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        compile_template(content({"subject": "s", "text": "t"}, schema=schema), None)
    assert refused.value.fields[0].field == "schema"


@pytest.mark.parametrize("given", [{}, {"locales": {}}, {"locales": 5}, {"locales": {"english": {}}},  # noqa: E501
    {"locales": {"en": {}}}, {"locales": {"en": {"fax": {}}}}, {"locales": {"en": {"sms": 5}}},
    {"locales": {"en": {"sms": {}}}}, {"locales": {"en": {"sms": {"text": ""}}}},
    {"locales": {"en": {"sms": {"text": "a\x00"}}}}, {"locales": {"en": {"push": {"title": "a"}}}},
    {"locales": {"en": {"email": {"subject": "a"}}}}, {"locales": {"de": {"sms": {"text": "a"}}}},
    {"locales": {"en": {"email": {"subject": "a", "html": "b", "mjml": "c"}}}},
    {"locales": {"en": {"sms": {"text": "a"}}, "EN": {"sms": {"text": "b"}}}},
    {"locales": {"en": {"sms": {"text": "a", "html": "b"}}}}])  # fmt: skip
def test_a_template_that_lacks_something_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TemplateInvalidError) as refused:
        compile_template(given, None)
    assert refused.value.fields


def test_what_is_compiled_survives_being_kept() -> None:
    compiled = compile_template(content({"subject": "s", "mjml": MJML}, schema={}), None)
    assert Compiled.from_json(json.loads(json.dumps(compiled.as_json()))) == compiled
    with pytest.raises(TemplateInvalidError):
        Compiled.from_json(compiled.as_json() | {"format": 2})


def test_the_code_that_is_kept_has_a_bound() -> None:
    renderer = Renderer(kept_characters=1000)
    for number in range(100):
        compiled = compile_inline({"text": f"{{{{ 1 }}}}{number}" + "x" * 100})
        renderer.render(compiled, Channel.SMS, None, {})
    assert len(renderer._built) < 10
