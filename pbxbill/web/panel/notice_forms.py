"""Forms about notices."""

from flask_babel import lazy_gettext
from wtforms import HiddenField, SelectField, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.web.editions import EditionField
from pbxbill.web.fields import LineField, PanelForm, at_most, required


class WordsForm(PanelForm):
    """What a notice says."""

    subject = LineField(lazy_gettext("Subject"), [required(), at_most(300)])
    text = TextAreaField(lazy_gettext("Text"), [required(), Length(max=20_000)], render_kw={"rows": 14})
    html = TextAreaField(
        lazy_gettext("HTML"),
        [Optional(), Length(max=60_000)],
        render_kw={"rows": 8, "spellcheck": "false"},
        description=lazy_gettext("Empty: made of the text."),
    )
    edition = EditionField()


class ThresholdsForm(PanelForm):
    """Below which funds in one unit somebody is told."""

    unit = HiddenField(validators=[at_most(12)])
    amounts = LineField(
        lazy_gettext("Told below"),
        [Optional(), at_most(200)],
        description=lazy_gettext(
            "Up to ten amounts with ; between, 0 for when nothing is left. Empty: nobody is told."
        ),
    )
    edition = EditionField()


class TimesForm(PanelForm):
    """When an account is told of what is not urgent."""

    quiet_from = LineField(lazy_gettext("Quiet from"), [Optional(), at_most(5)], render_kw={"type": "time"})
    quiet_to = LineField(lazy_gettext("Quiet to"), [Optional(), at_most(5)], render_kw={"type": "time"})
    digest = SelectField(
        lazy_gettext("What is not urgent comes"),
        choices=[
            ("", lazy_gettext("at once, each by itself")),
            ("daily", lazy_gettext("once a day, together")),
        ],
    )
    digest_at = LineField(lazy_gettext("Once a day at"), [Optional(), at_most(5)], render_kw={"type": "time"})
    edition = EditionField()
