"""Messages: take the interface's texts from the code into the catalogues that translators fill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polib
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.core.management.commands import makemessages
from django.utils.translation import to_locale

# What has no text for people, or none that pages show. Folders that begin with a dot are left out anyway.
IGNORED = ("bench", "data", "deploy", "docs", "metalearning", "node_modules", "static", "tests")
# They differ with the machine and the hour, so that every run would change the file.
PASSING = ("Report-Msgid-Bugs-To", "POT-Creation-Date", "PO-Revision-Date", "Last-Translator", "Language-Team")


class Extraction(makemessages.Command):
    """Django's extraction; a text that is new comes empty instead of with a similar text's translation."""

    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]


class Command(BaseCommand):
    """Update every catalogue under locale/: texts that are new come in empty, those no longer used go."""

    help = "Update locale/*/LC_MESSAGES/django.po from the code and the templates. Needs GNU gettext."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """None of its own: the languages are those of the settings."""

    def handle(self, *_arguments: Any, **_options: Any) -> None:
        """Extract, tidy, and say what is left to translate."""
        locales = [to_locale(code) for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
        call_command(
            Extraction(), locale=locales, ignore_patterns=list(IGNORED), no_wrap=True, add_location="file", verbosity=0
        )
        for locale in locales:
            path = Path(settings.LOCALE_PATHS[0]) / locale / "LC_MESSAGES" / "django.po"
            missing = tidy(path)
            self.stdout.write(f"{path.relative_to(settings.BASE_DIR)}: {missing} to translate")


def tidy(path: Path) -> int:
    """Take out what differs with the machine and what is no longer used; returns how many texts lack a translation."""
    catalogue = polib.pofile(str(path), wrapwidth=0)
    for name in PASSING:
        catalogue.metadata.pop(name, None)
    for entry in catalogue.obsolete_entries():
        catalogue.remove(entry)
    catalogue.save()
    return len(catalogue.untranslated_entries()) + len(catalogue.fuzzy_entries())
