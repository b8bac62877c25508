"""Imported by the zygote alone: the fonts that its children share, read once. No thread starts."""

from posthouse.files.processors.document_render import fonts

fonts()
