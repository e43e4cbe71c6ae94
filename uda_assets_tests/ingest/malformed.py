"""Files worth pinning, each with what must come of it, worked out by hand from the rules.

The expectations come from the rules and not from a reader, so that they can disagree with one.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A drop, the lines on which its kept records start, and line and reason of each quarantined one."""

    name: str
    data: bytes
    kept_lines: list[int]
    quarantined: list[tuple[int, str]]
    rejection: str | None = None


BOM = b"\xef\xbb\xbf"
NBSP = b"\xc2\xa0"
CUT = b"\xe2\x82"  # a euro sign without its last byte
HEADER = b"user_id,session_id,platform,activity_time,activity_type"
REST = b",s1,ios,2026-01-31T08:15:00Z,view"  # a good record from its second field on
GOOD = b"u1" + REST
H = HEADER + b"\n"  # line 1
N = HEADER + b",note\n"  # line 1, with a column that nobody requires
G = GOOD + b"\n"  # a good record on a line of its own
GN = GOOD + b",x\n"  # the same where there is a note


def _record(name: str, record: bytes, reason: str | None) -> Case:
    """A file of one record, on line 2."""
    return Case(name, H + record + b"\n", [], [(2, reason)]) if reason else Case(name, H + record + b"\n", [2], [])


def _id(name: str, user_id: bytes, reason: str | None = None) -> Case:
    return _record(name, user_id + REST, reason)


def _platform(name: str, platform: str, *, known: bool) -> Case:
    record = f"u1,s1,{platform},2026-01-31T08:15:00Z,view".encode()
    return _record(name, record, None if known else "unknown_platform")


def _time(name: str, time: str, *, good: bool) -> Case:
    record = f"u1,s1,ios,{time},view".encode()
    return _record(name, record, None if good else "bad_activity_time")


def _rejected(name: str, data: bytes, rejection: str) -> Case:
    return Case(name, data, [], [], rejection)


REJECTIONS = [
    _rejected("nothing at all", b"", "empty"),
    _rejected("a BOM alone", BOM, "empty"),
    _rejected("blank lines alone", b"\n \r\n\t\r" + NBSP, "empty"),
    _rejected("a BOM and blank lines alone", BOM + b"\n\n", "empty"),
    _rejected("header in Latin-1", HEADER + b",caf\xe9\n" + GN, "header_unreadable"),
    _rejected("header ends within a character", HEADER + b"," + CUT, "header_unreadable"),
    _rejected("UTF-16", b"\xff\xfe" + HEADER.decode().encode("utf-16-le"), "header_unreadable"),
    _rejected("UTF-16 without BOM", HEADER.decode().encode("utf-16-le"), "header_unreadable"),
    _rejected("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "header_unreadable"),
    _rejected("bad byte in an otherwise blank first line", b" \x85\n" + H + G, "header_unreadable"),
    _rejected("NUL in an otherwise blank first line", b" \0 \n" + H + G, "header_unreadable"),
    _rejected("NUL in the name of an extra column", HEADER + b",a\0b\n" + GN, "header_unreadable"),
    _rejected("quote left open at the end of the header", HEADER + b',"note\n' + GN, "header_unreadable"),
    _rejected("quoted name over two lines", HEADER + b',"a\nb"\n' + GN, "header_unreadable"),
    _rejected("quote inside a bare name", HEADER + b',a"b\n' + GN, "header_unreadable"),
    _rejected("text beside a quoted name", HEADER + b',"a"b\n' + GN, "header_unreadable"),
    _rejected("unreadable comes before missing", b'user_id,"platform\n' + G, "header_unreadable"),
    _rejected("unreadable comes before twice", HEADER + b',user_id,"\n' + G, "header_unreadable"),
    _rejected("a column missing", b"user_id,session_id,platform,activity_time\n" + G, "missing_column"),
    _rejected("records and no header", G + G, "missing_column"),
    _rejected("semicolons for commas", HEADER.replace(b",", b";") + b"\n" + G, "missing_column"),
    _rejected("a second BOM belongs to the name", BOM + BOM + H + G, "missing_column"),
    _rejected("a BOM after a blank line belongs to the name", b"\n" + BOM + H + G, "missing_column"),
    _rejected("white space within a name", b"user id" + HEADER[7:] + b"\n" + G, "missing_column"),
    _rejected("full-width letter in a name", "\uff55ser_id".encode() + HEADER[7:] + b"\n" + G, "missing_column"),
    _rejected("U+001F beside a name is no white space", b"\x1f" + H + G, "missing_column"),
    _rejected("a column twice", HEADER + b",user_id\n" + GN, "duplicate_column"),
    _rejected("a column twice in another spelling", HEADER + b', "USER_ID "\n' + GN, "duplicate_column"),
    _rejected("a column twice, no records", HEADER + b",platform", "duplicate_column"),
    _rejected("missing comes before twice", b"user_id,user_id,session_id,platform,activity_time\n", "missing_column"),
]

HEADERS = [
    Case("a header without end", HEADER, [], []),
    Case("a header and nothing after", H, [], []),
    Case("BOM", BOM + H + G, [2], []),
    Case("BOM, then a quoted name", BOM + b'"user_id"' + HEADER[7:] + b"\n" + G, [2], []),
    Case("blank lines before the header", b"\n  \r\n\t\r" + H + G, [5], []),
    Case("BOM, blank line, header", BOM + b"\n" + H + G, [3], []),
    Case("Unicode white space before the header", "\u3000\u2028\u00a0\u0085\n".encode() + H + G, [3], []),
    Case(
        "names in other spellings, padded and quoted",
        b" USER_ID ,\tSession_Id," + NBSP + b'Platform, "activity_time" ,"  ACTIVITY_TYPE"\n' + G,
        [2],
        [],
    ),
    Case(
        "names casefolded: long s, sharp s",
        "u\u017fer_id,se\u00dfion_id,platform,activity_time,activity_type\n".encode() + G,
        [2],
        [],
    ),
    Case(
        "columns in another order",
        b"activity_type,activity_time,platform,session_id,user_id\nview,2026-01-31T08:15:00Z,web,s1,u1\n" + G,
        [2],
        [(3, "bad_activity_time")],
    ),
    Case(
        "extra columns before and between",
        b"a,user_id,b,session_id,platform,activity_time,activity_type\n"
        b"x,u1,,s1,ios,2026-01-31T08:15:00Z,view\n"
        b",,y,s1,ios,2026-01-31T08:15:00Z,view\n",
        [2],
        [(3, "missing_user_id")],
    ),
    Case("extra columns repeat, one without name", HEADER + b",note,note,\n" + GOOD + b",,,\n", [2], []),
    Case("a trailing comma makes a column", HEADER + b",\n" + GOOD + b",\n" + G, [2], [(3, "too_few_fields")]),
    Case(
        "a comma in a quoted name makes none",
        HEADER + b',"a,b"\n' + GN + GOOD + b",x,y\n",
        [2],
        [(3, "too_many_fields")],
    ),
    Case("escaped quotes in a name", HEADER + b',"a ""b"""\n' + GN, [2], []),
    Case("control characters in the name of an extra column", HEADER + b",a\x1f\tb\xc2\x85c\n" + GN, [2], []),
    Case("a second header is a record", H + H + G, [3], [(2, "unknown_platform")]),
]

LINE_ENDS = [
    Case("the last line without end", H + G + GOOD, [2, 3], []),
    Case("CRLF", HEADER + b"\r\n" + GOOD + b"\r\n" + GOOD + b"\r\n", [2, 3], []),
    Case("CR", HEADER + b"\r" + GOOD + b"\r" + GOOD + b"\r", [2, 3], []),
    Case("CR, the last line without end", HEADER + b"\r" + GOOD + b"\r" + GOOD, [2, 3], []),
    Case("CR, CRLF and LF mixed", H + GOOD + b"\r" + GOOD + b"\r\n" + GOOD + b"\n\n" + GOOD, [2, 3, 4, 6], []),
    Case("LF CR is two ends", H + GOOD + b"\n\r" + GOOD, [2, 4], []),
    Case("CR CR LF is two ends", H + GOOD + b"\r\r\n" + GOOD, [2, 4], []),
    Case("vertical tab ends no line", H + GOOD + b"\x0b" + G + G, [3], [(2, "too_many_fields")]),
    Case("form feed ends no line", H + GOOD + b"\x0c" + G + G, [3], [(2, "too_many_fields")]),
    Case("U+001E ends no line", H + GOOD + b"\x1e" + G + G, [3], [(2, "too_many_fields")]),
    Case("NEL ends no line", H + GOOD + b"\xc2\x85" + G + G, [3], [(2, "too_many_fields")]),
    Case("U+2028 ends no line", H + GOOD + b"\xe2\x80\xa8" + G + G, [3], [(2, "too_many_fields")]),
    Case("quoted LF", N + GOOD + b',"a\nb"\n' + GN, [2, 4], []),
    Case("quoted CR", N + GOOD + b',"a\rb"\n' + GN, [2, 4], []),
    Case("quoted CRLF is one end", N + GOOD + b',"a\r\nb"\r\n' + GN, [2, 4], []),
    Case("quoted LF CR is two ends", N + GOOD + b',"a\n\rb"\n' + GN, [2, 5], []),
    Case("quoted CR, then LF after the quote", N + GOOD + b',"a\r"\n' + GN, [2, 4], []),
    Case("CR after a closing quote", N + GOOD + b',"a"\r' + GN, [2, 3], []),
    Case("commas and escaped quotes within quoted lines", N + GOOD + b',",\n""\n,,""\n"\n' + GN, [2, 6], []),
    Case("the file ends at a closing quote", N + GOOD + b',"a\nb"', [2], []),
]

BLANK_LINES = [
    Case("between records", H + b"\n" + G + b" \t\n" + NBSP + b"\n" + G + b"\n\n", [3, 6], []),
    Case(
        "all of Unicode's white space",
        H
        + "\t\x0b\x0c \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a".encode()
        + "\u2028\u2029\u202f\u205f\u3000\n".encode()
        + G,
        [3],
        [],
    ),
    Case("white space at the end of the file", H + G + b" \t", [2], []),
    Case("U+001C is not blank", H + b"\x1c\n" + G, [3], [(2, "too_few_fields")]),
    Case("U+200B is not blank", H + b"\xe2\x80\x8b\n" + G, [3], [(2, "too_few_fields")]),
    Case("U+180E is not blank", H + b"\xe1\xa0\x8e\n" + G, [3], [(2, "too_few_fields")]),
    Case("a BOM is not blank", H + BOM + b"\n" + G, [3], [(2, "too_few_fields")]),
    Case("NUL is not blank", H + b"\0\n" + G, [3], [(2, "too_few_fields")]),
    Case("an empty quoted field is not blank", H + b'""\n' + G, [3], [(2, "too_few_fields")]),
    Case("a comma is not blank", H + b",\n" + G, [3], [(2, "too_few_fields")]),
    Case("a bare 0x85 is not NEL", H + b"\x85\n" + G, [3], [(2, "encoding")]),
    Case("white space and the start of more of it", H + b'\xc2\x85\xe2\x80"\n' + G, [3], [(2, "encoding")]),
    Case("within quotes they belong to the record", N + GOOD + b',"\n\n \n"\n' + GN, [2, 6], []),
    Case(
        "a cut quoted field leaves a blank line behind",
        H + b'"u1\n\n2"' + REST + b"\n" + G,
        [5],
        [(2, "control_character"), (4, "bad_quote")],
    ),
]

ENCODING = [
    _id("Latin-1", b"u\xe9", "encoding"),
    _id("0xFF", b"u\xff", "encoding"),
    _id("a continuation byte alone", b"u\x80", "encoding"),
    _id("overlong slash", b"u\xc0\xaf", "encoding"),
    _id("overlong NUL", b"u\xc0\x80", "encoding"),
    _id("overlong in three bytes", b"u\xe0\x80\xaf", "encoding"),
    _id("a surrogate", b"u\xed\xa0\x80", "encoding"),
    _id("a pair of surrogates", b"u\xed\xa0\xbd\xed\xb8\x80", "encoding"),
    _id("an encoded low surrogate such as decoding with surrogateescape uses", b"u\xed\xb2\x80", "encoding"),
    _id("beyond U+10FFFF", b"u\xf4\x90\x80\x80", "encoding"),
    _id("five bytes", b"u\xf8\x88\x80\x80\x80", "encoding"),
    _id("a character cut off by a comma", b"u" + CUT, "encoding"),
    _id("U+10FFFF, a noncharacter, U+FFFD", b"\xf4\x8f\xbf\xbf\xef\xbf\xbe\xef\xbf\xbd"),
    Case("a character cut off by a line end", H + GOOD + CUT + b"\n" + G, [3], [(2, "encoding")]),
    Case("a character cut off by CR", H + GOOD + b"\xc2\r" + G, [3], [(2, "encoding")]),
    Case("a character cut off by the end of the file", H + G + GOOD + b"\xf0\x9f\x98", [2], [(3, "encoding")]),
    Case("a character cut off by a quote", N + GOOD + b',"' + CUT + b'"\n' + GN, [3], [(2, "encoding")]),
    Case("a character cut in two by a comma", H + b"\xc3,\xa9,ios,2026-01-31T08:15:00Z,view\n", [], [(2, "encoding")]),
    Case("in an extra column", N + GOOD + b",caf\xe9\n" + GN, [3], [(2, "encoding")]),
    Case("beside a quoted field", H + b'"u1"\xa0' + REST + b"\n" + G, [3], [(2, "encoding")]),
    Case("only the record that holds it", H + G + b"\xff\n" + G, [2, 4], [(3, "encoding")]),
    Case(
        "on the second line of a record",
        N + GOOD + b',"a\n\xff"\n' + GN,
        [4],
        [(2, "encoding"), (3, "encoding")],
    ),
    Case(
        "on the third line of a record, the second of which is good alone",
        N + GOOD + b',"\n' + GN + b'\xff"\n' + GN,
        [3, 5],
        [(2, "encoding"), (4, "encoding")],
    ),
    Case("in the white space of a blank line", H + b"  \xa0\n" + G, [3], [(2, "encoding")]),
    Case("comes before unterminated_quote", H + b'"u\xff' + REST + b"\n" + G, [3], [(2, "encoding")]),
    Case(
        "far below an open quote",
        H + b'"u1' + REST + b"\n" + G + G + b"\xff\n" + G,
        [3, 4, 6],
        [(2, "encoding"), (5, "encoding")],
    ),
    Case("comes before bad_quote", H + b'u"\xff' + REST + b"\n", [], [(2, "encoding")]),
    Case("comes before too_few_fields", H + b"\xff,s1\n", [], [(2, "encoding")]),
    Case("comes before too_many_fields", H + GOOD + b",\xff\n", [], [(2, "encoding")]),
    Case("comes before control_character", H + b"u\0\xff" + REST + b"\n", [], [(2, "encoding")]),
]

UNTERMINATED = [
    Case("on the last line", H + G + b'u1,s1,ios,2026-01-31T08:15:00Z,"view\n', [2], [(3, "unterminated_quote")]),
    Case("good lines after", H + b'"u1' + REST + b"\n" + G + G, [3, 4], [(2, "unterminated_quote")]),
    Case("good lines after, CR", HEADER + b'\r"u1\r' + GOOD + b"\r", [3], [(2, "unterminated_quote")]),
    Case("a quote is the last byte", H + G + b'"', [2], [(3, "unterminated_quote")]),
    Case("a quote after a comma is the last byte", N + GN + GOOD + b',"', [2], [(3, "unterminated_quote")]),
    Case("an escaped quote is the last byte", N + GOOD + b',"x""', [], [(2, "unterminated_quote")]),
    Case("three quotes open a field", H + b'"""' + REST + b"\n" + G, [3], [(2, "unterminated_quote")]),
    Case("in an extra column", N + GOOD + b',"x\n' + GN, [3], [(2, "unterminated_quote")]),
    Case("after white space", N + GOOD + b", " + NBSP + b'"\n' + GN, [3], [(2, "unterminated_quote")]),
    Case(
        "below it only escaped quotes",
        H + b'"u1\n' + b'a "" b\n' + G,
        [4],
        [(2, "unterminated_quote"), (3, "bad_quote")],
    ),
    Case(
        "two in a row: the first ends at the second",
        H + b'"a\n' + b'"b\n' + G,
        [4],
        [(2, "bad_quote"), (3, "unterminated_quote")],
    ),
    Case(
        "a blank line between two",
        H + b'"a\n' + b" \n" + b'"b\n' + G,
        [5],
        [(2, "bad_quote"), (4, "unterminated_quote")],
    ),
    Case(
        "a quoted record below",
        H + b'"u1' + REST + b"\n" + b'"u2"' + REST + b"\n" + G,
        [3, 4],
        [(2, "bad_quote")],
    ),
    Case(
        "closed on the next line, its line end inside the field",
        H + b'"u1' + REST + b"\n" + b'x"' + REST + b"\n" + G,
        [4],
        [(2, "control_character"), (3, "bad_quote")],
    ),
    Case(
        "closed on the next line, its line end at the field's edge",
        H + b'"u1' + REST + b"\n" + b'"' + REST + b"\n" + G,
        [2, 4],
        [],
    ),
    Case("comes before bad_quote", H + b'a"b,"c\n' + G, [3], [(2, "unterminated_quote")]),
    Case("comes before bad_quote beside quotes", H + b'"a"b,"c\n' + G, [3], [(2, "unterminated_quote")]),
    Case("comes before too_few_fields", H + b'u1,"\n' + G, [3], [(2, "unterminated_quote")]),
    Case("comes before too_many_fields", H + GOOD + b',x,"y\n' + G, [3], [(2, "unterminated_quote")]),
    Case("comes before control_character", N + b"\0" + GOOD + b',"\n' + GN, [3], [(2, "unterminated_quote")]),
    Case("comes before missing_user_id", H + b',s1,ios,2026-01-31T08:15:00Z,"\n' + G, [3], [(2, "unterminated_quote")]),
]

QUOTES = [
    _id("inside a bare field", b'u"1', "bad_quote"),
    _id("at the end of a bare field", b'u1"', "bad_quote"),
    _id("text before a quoted field", b'x"u1"', "bad_quote"),
    _id("text after a quoted field", b'"u1"x', "bad_quote"),
    _id("text and a space after a quoted field", b'"u1" x ', "bad_quote"),
    _id("two quoted texts in a field", b'"u1" "u2"', "bad_quote"),
    _id("a backslash escapes nothing", b'"u\\"1"', "bad_quote"),
    _id("zero-width space before a quote is text", b'\xe2\x80\x8b"u1"', "bad_quote"),
    _id("zero-width space after a quote is text", b'"u1"\xe2\x80\x8b', "bad_quote"),
    _id("U+001F before a quote is text", b'\x1f"u1"', "bad_quote"),
    _id("U+001F after a quote is text", b'"u1"\x1f', "bad_quote"),
    _id("NUL after a quote is text", b'"u1"\0', "bad_quote"),
    _id("a BOM before a quote is text", BOM + b'"u1"', "bad_quote"),
    _id("white space beside quotes", b'\t "u1" ' + NBSP),
    _id("NEL and U+2028 beside quotes", b'\xc2\x85"u1"\xe2\x80\xa8'),
    _id("escaped quote", b'"u""1"'),
    _id("escaped quote alone", b'""""'),
    _id("escaped quotes at both ends", b'"""u1"""'),
    _id("quoted comma", b'"u,1"'),
    _id("apostrophes and typographic quotes are no quotes", "'\u201cu1\u201d'".encode()),
    Case("opens nothing inside a bare field", H + b'u "1' + REST + b"\n" + G, [3], [(2, "bad_quote")]),
    Case("commas count inside a bare field's quotes", H + b'u "1,2"' + REST + b"\n" + G, [3], [(2, "bad_quote")]),
    Case("opens nothing after a closing quote", H + b'"u1"x"y' + REST + b"\n" + G, [3], [(2, "bad_quote")]),
    Case("a third quote opens nothing", H + b'"u1" "' + REST + b"\n" + G, [3], [(2, "bad_quote")]),
    Case("in an extra column", N + GOOD + b',5" screen\n' + GN, [3], [(2, "bad_quote")]),
    Case(
        "the next field may still open one",
        H + b'"u1"x,"s\n1",ios,2026-01-31T08:15:00Z,view\n' + G,
        [4],
        [(2, "bad_quote"), (3, "bad_quote")],
    ),
    Case(
        "resumption inside a quoted field finds a good record",
        N + b'u"1,s1,ios,2026-01-31T08:15:00Z,view,"a\n' + GN + b'"\n' + GN,
        [3, 5],
        [(2, "bad_quote"), (4, "unterminated_quote")],
    ),
    Case("comes before too_few_fields", H + b'u1,s"1\n', [], [(2, "bad_quote")]),
    Case("comes before too_many_fields", H + GOOD + b',x"\n', [], [(2, "bad_quote")]),
    Case("comes before control_character", H + b'u\0"1' + REST + b"\n", [], [(2, "bad_quote")]),
    Case("comes before missing_user_id", H + b',"s1"x,ios,2026-01-31T08:15:00Z,view\n', [], [(2, "bad_quote")]),
]

FIELD_COUNTS = [
    Case("four fields", H + b"u1,s1,ios,2026-01-31T08:15:00Z\n" + G, [3], [(2, "too_few_fields")]),
    Case("one field", H + b"u1\n" + G, [3], [(2, "too_few_fields")]),
    Case("six fields", H + GN + G, [3], [(2, "too_many_fields")]),
    Case("a trailing comma", H + GOOD + b",\n" + G, [3], [(2, "too_many_fields")]),
    Case("a trailing comma at the end of the file", H + GOOD + b",", [], [(2, "too_many_fields")]),
    Case("an extra column left out", N + G + GN, [3], [(2, "too_few_fields")]),
    Case("an extra column empty at the end of the file", N + GOOD + b",", [2], []),
    Case("a quoted comma does not count", H + b'"u1,s1",ios,2026-01-31T08:15:00Z,view\n', [], [(2, "too_few_fields")]),
    Case("two records on a line", H + GOOD + b"," + GOOD, [], [(2, "too_many_fields")]),
    Case(
        "a record cut in two",
        H + b"u1,s1,ios\n,2026-01-31T08:15:00Z,view\n",
        [],
        [(2, "too_few_fields"), (3, "too_few_fields")],
    ),
    Case("too few, over two lines", N + b'u1,s1,"a\nb"\n' + GN, [4], [(2, "too_few_fields"), (3, "bad_quote")]),
    Case(
        "too many, over two lines",
        N + GOOD + b',y,"\n"\n' + GN,
        [4],
        [(2, "too_many_fields"), (3, "unterminated_quote")],
    ),
    Case("too few comes before control_character", H + b"u\x001,s1\n", [], [(2, "too_few_fields")]),
    Case("too few comes before missing_user_id", H + b",,,\n", [], [(2, "too_few_fields")]),
    Case("too many comes before control_character", H + b"\0" + GN, [], [(2, "too_many_fields")]),
    Case("too many comes before missing_user_id", H + b",,,,,\n", [], [(2, "too_many_fields")]),
]

CONTROL_CHARACTERS = [
    _id("NUL", b"u\x001", "control_character"),
    _id("tab inside", b"u\t1", "control_character"),
    _id("escape", b"\x1b[1mu1", "control_character"),
    _id("delete", b"u1\x7f", "control_character"),
    _id("U+0080", b"u\xc2\x801", "control_character"),
    _id("NEL inside", b"u\xc2\x851", "control_character"),
    _id("U+009F at the end", b"u1\xc2\x9f", "control_character"),
    _id("U+001C at the start is not trimmed", b"\x1cu1", "control_character"),
    _id("U+001F at the end is not trimmed", b"u1\x1f", "control_character"),
    _id("NUL alone", b"\0", "control_character"),
    _id("vertical tab inside quotes", b'"u\x0b1"', "control_character"),
    _id("white space around a control character", b'" \x01 "', "control_character"),
    _id("tabs at the edges are trimmed", b"\tu1\t"),
    _id("tabs at the edges within quotes are trimmed", b'"\tu1\t"'),
    _id("vertical tab, form feed and NEL at the edges are trimmed", b"\x0b\x0cu1\xc2\x85"),
    _id("U+2028, U+200B, a soft hyphen and a BOM inside are none", "u\u2028\u200b\u00ad\ufeff1".encode()),
    _id("U+00A0 inside is none", b"u" + NBSP + b"1"),
    Case("in session_id", H + b"u1,s\x011,ios,2026-01-31T08:15:00Z,view\n", [], [(2, "control_character")]),
    Case("in platform", H + b"u1,s1,i\tos,2026-01-31T08:15:00Z,view\n", [], [(2, "control_character")]),
    Case("in activity_time", H + b"u1,s1,ios,2026-01-31\t08:15:00Z,view\n", [], [(2, "control_character")]),
    Case("in activity_type", H + b"u1,s1,ios,2026-01-31T08:15:00Z,vi\x7few\n", [], [(2, "control_character")]),
    Case("in an extra column", N + GOOD + b",\x00\x1b\t\xc2\x85\n" + GN, [2, 3], []),
    Case("LF inside", H + b'"u\n1"' + REST + b"\n" + G, [4], [(2, "control_character"), (3, "bad_quote")]),
    Case("CR inside", H + b'"u\r1"' + REST + b"\n" + G, [4], [(2, "control_character"), (3, "bad_quote")]),
    Case("CRLF inside", H + b'"u\r\n1"' + REST + b"\n" + G, [4], [(2, "control_character"), (3, "bad_quote")]),
    Case("LF at the end is trimmed", H + b'"u1\n"' + REST + b"\n" + G, [2, 4], []),
    Case("CRLF at the start is trimmed", H + b'"\r\nu1"' + REST + b"\n" + G, [2, 4], []),
    Case(
        "line ends at the edges of two fields",
        H + GOOD.replace(b"u1", b'"\nu1\n"').replace(b"view", b'"\rview\r\n"'),
        [2],
        [],
    ),
    Case(
        "in a record over two lines",
        N + b"\0" + GOOD + b',"a\nb"\n' + GN,
        [4],
        [(2, "control_character"), (3, "bad_quote")],
    ),
    Case(
        "comes before missing_user_id", H + b",s\x001,ios,2026-01-31T08:15:00Z,view\n", [], [(2, "control_character")]
    ),
    Case("comes before unknown_platform", H + b"u1,s1,tv,2026-01-31T08:15:00Z,\x07\n", [], [(2, "control_character")]),
    Case("comes before missing_activity_time", H + b"u1,s1,ios,,\x07\n", [], [(2, "control_character")]),
]

MISSING = [
    Case("everything", H + b",,,,\n", [], [(2, "missing_user_id")]),
    Case("everything, quoted", H + b'"","","","",""\n', [], [(2, "missing_user_id")]),
    Case("all but user_id", H + b"u1,,,,\n", [], [(2, "missing_session_id")]),
    Case("all but the ids", H + b"u1,s1,,,\n", [], [(2, "missing_platform")]),
    Case("unknown_platform comes before missing_activity_time", H + b"u1,s1,tv,,\n", [], [(2, "unknown_platform")]),
    Case("time and type", H + b"u1,s1,ios,,\n", [], [(2, "missing_activity_time")]),
    Case(
        "bad_activity_time comes before missing_activity_type", H + b"u1,s1,ios,now,\n", [], [(2, "bad_activity_time")]
    ),
    Case("type", H + b"u1,s1,ios,2026-01-31T08:15:00Z,\n", [], [(2, "missing_activity_type")]),
    Case("missing_user_id comes before unknown_platform", H + b",s1,tv,now,view\n", [], [(2, "missing_user_id")]),
    Case(
        "missing_session_id comes before bad_activity_time", H + b"u1,,ios,now,view\n", [], [(2, "missing_session_id")]
    ),
    Case("missing_platform comes before bad_activity_time", H + b"u1,s1,,now,view\n", [], [(2, "missing_platform")]),
    Case("unknown_platform comes before bad_activity_time", H + b"u1,s1,tv,now,view\n", [], [(2, "unknown_platform")]),
    _id("spaces and tabs", b" \t ", "missing_user_id"),
    _id("Unicode white space", "\u00a0\u3000\u0085".encode(), "missing_user_id"),
    _id("quoted white space", b'" \t"', "missing_user_id"),
    _id("a zero-width space is something", b"\xe2\x80\x8b"),
    Case("a quoted line end", H + b'"\n"' + REST + b"\n" + G, [4], [(2, "missing_user_id")]),
    Case(
        "reading goes on after the whole record", N + REST + b',"\n' + GN + b'"\n' + GN, [5], [(2, "missing_user_id")]
    ),
]

PLATFORMS = [
    _platform("canonical spelling", "iOS", known=True),
    _platform("upper case", "WEB", known=True),
    _platform("padded", "\u00a0 Android\t", known=True),
    _platform("quoted and padded", '" Android\n"', known=True),
    _platform("full-width letters", "\uff49\uff2f\uff33", known=True),
    _platform("circled letter", "\u24e6eb", known=True),
    _platform("Roman numeral one", "\u2170os", known=True),
    _platform("long s", "io\u017f", known=True),
    _platform("dotless i", "\u0131os", known=False),
    _platform("capital i with a dot", "\u0130OS", known=False),
    _platform("Cyrillic o", "i\u043es", known=False),
    _platform("space inside", "i os", known=False),
    _platform("zero-width space at the end", "ios\u200b", known=False),
    _platform("soft hyphen", "and\u00adroid", known=False),
    _platform("punctuation", "ios.", known=False),
    _platform("quotes as part of the name", '"""ios"""', known=False),
    _platform("another platform", "tv", known=False),
    Case(
        "unknown in a record over two lines",
        N + b'u1,s1,tv,2026-01-31T08:15:00Z,view,"\n"\n' + GN,
        [4],
        [(2, "unknown_platform")],
    ),
]

TIMES = [
    _time("Z", "2026-01-31T08:15:00Z", good=True),
    _time("no zone", "2026-01-31T08:15:00", good=True),
    _time("a space for T", "2026-01-31 08:15:00", good=True),
    _time("one digit of a second", "2026-01-31T08:15:00.1", good=True),
    _time("six digits of a second and Z", "2026-01-31 08:15:00.123456Z", good=True),
    _time("+HH", "2026-01-31T08:15:00+01", good=True),
    _time("+HHMM", "2026-01-31T08:15:00.5+0130", good=True),
    _time("+HH:MM", "2026-01-31 08:15:00+01:30", good=True),
    _time("the largest offsets", "2026-01-31T08:15:00-23:59", good=True),
    _time("minus zero", "2026-01-31T08:15:00-00:00", good=True),
    _time("padded", "\t2026-01-31T08:15:00Z\u3000", good=True),
    _time("quoted, a line end at the edge", '"\n2026-01-31T08:15:00Z\n"', good=True),
    _time("leap day", "2024-02-29T00:00:00Z", good=True),
    _time("leap day of a leap century", "2000-02-29T00:00:00Z", good=True),
    _time("the first moment", "0001-01-01T00:00:00Z", good=True),
    _time("the last moment", "9999-12-31T23:59:59.999999Z", good=True),
    _time("the first moment by way of an offset", "0001-01-01T23:59:00+23:59", good=True),
    _time("the last second by way of an offset", "9999-12-31T00:00:59-23:59", good=True),
    _time("before the first moment once in UTC", "0001-01-01T00:00:59+00:01", good=False),
    _time("after the last moment once in UTC", "9999-12-31T23:59:00-00:01", good=False),
    _time("year 0", "0000-12-31T23:59:59Z", good=False),
    _time("year 0, though year 1 in UTC", "0000-12-31T23:59:59-01:00", good=False),
    _time("no leap year", "2026-02-29T00:00:00Z", good=False),
    _time("no leap century", "1900-02-29T00:00:00Z", good=False),
    _time("month 0", "2026-00-01T00:00:00Z", good=False),
    _time("month 13", "2026-13-01T00:00:00Z", good=False),
    _time("day 0", "2026-01-00T00:00:00Z", good=False),
    _time("31 April", "2026-04-31T00:00:00Z", good=False),
    _time("hour 24", "2026-01-31T24:00:00Z", good=False),
    _time("minute 60", "2026-01-31T08:60:00Z", good=False),
    _time("leap second", "2016-12-31T23:59:60Z", good=False),
    _time("seven digits of a second", "2026-01-31T08:15:00.1234567Z", good=True),
    _time("seven digits, six of them zeros", "2026-01-31T08:15:00.0000001Z", good=True),
    _time("no digit after the point", "2026-01-31T08:15:00.Z", good=False),
    _time("comma for point", '"2026-01-31T08:15:00,5Z"', good=False),
    _time("lower case t", "2026-01-31t08:15:00Z", good=True),
    _time("lower case z", "2026-01-31T08:15:00z", good=True),
    _time("nine digits of a second", "2026-01-31T08:15:00.123456789+01", good=True),
    _time("ten digits of a second", "2026-01-31T08:15:00.1234567890Z", good=False),
    _time("no seconds and an offset", "2026-01-31 08:15+01:00", good=True),
    _time("no seconds and a fraction", "2026-01-31T08:15.5Z", good=False),
    _time("no minutes", "2026-01-31T08Z", good=False),
    _time("UTC in lower case", "2026-01-31T08:15:00 utc", good=False),
    _time("UTC without a space", "2026-01-31T08:15:00UTC", good=False),
    _time("UTC after an offset", "2026-01-31T08:15:00+00:00 UTC", good=False),
    _time("two spaces", "2026-01-31  08:15:00Z", good=False),
    _time("no-break space for T", "2026-01-31\u00a008:15:00Z", good=False),
    _time("T and space", "2026-01-31T 08:15:00Z", good=False),
    _time("date alone", "2026-01-31", good=False),
    _time("no seconds", "2026-01-31T08:15Z", good=True),
    _time("one-digit hour", "2026-01-31T8:15:00Z", good=False),
    _time("two-digit year", "26-01-31T08:15:00Z", good=False),
    _time("five-digit year", "12026-01-31T08:15:00Z", good=False),
    _time("signed year", "+2026-01-31T08:15:00Z", good=False),
    _time("slashes", "2026/01/31 08:15:00", good=False),
    _time("basic form", "20260131T081500Z", good=False),
    _time("week date", "2026-W05-6T08:15:00Z", good=False),
    _time("seconds since 1970", "1769847300", good=False),
    _time("offset of 24 hours", "2026-01-31T08:15:00+24:00", good=False),
    _time("offset of 60 minutes", "2026-01-31T08:15:00+01:60", good=False),
    _time("one-digit offset", "2026-01-31T08:15:00+1", good=False),
    _time("three-digit offset", "2026-01-31T08:15:00+013", good=False),
    _time("offset with a loose colon", "2026-01-31T08:15:00+01:", good=False),
    _time("offset with seconds", "2026-01-31T08:15:00+01:30:00", good=False),
    _time("Z and offset", "2026-01-31T08:15:00Z+01", good=False),
    _time("space before the offset", "2026-01-31T08:15:00 +01:00", good=False),
    _time("typographic minus", "2026-01-31T08:15:00\u221201:00", good=False),
    _time("zone by name", "2026-01-31T08:15:00 UTC", good=True),
    _time("text after it", "2026-01-31T08:15:00Zx", good=False),
    _time("full-width digit", "\uff12026-01-31T08:15:00Z", good=False),
    _time("Arabic digit", "202\u0666-01-31T08:15:00Z", good=False),
]

WHOLE_FILES = [
    Case(
        "one of nearly everything",
        BOM
        + b"\r\n"  # 1
        + N  # 2
        + GN  # 3
        + b"\n"  # 4
        + b'"u"1'
        + REST
        + b",x\r"  # 5
        + GOOD
        + b',"a\r\nb"\n'  # 6, 7
        + b"u\xff"
        + REST
        + b",x\n"  # 8
        + b'u1,s1,tv,2026-01-31T08:15:00Z,view,"\n\n"\n'  # 9 to 11
        + G  # 12
        + GOOD
        + b",x,y\r\n"  # 13
        + b"u1,s1,web,yesterday,view,\n"  # 14
        + b'"u1'
        + REST
        + b",x\n"  # 15
        + GN,  # 16
        [3, 6, 16],
        [
            (5, "bad_quote"),
            (8, "encoding"),
            (9, "unknown_platform"),
            (12, "too_few_fields"),
            (13, "too_many_fields"),
            (14, "bad_activity_time"),
            (15, "unterminated_quote"),
        ],
    ),
]

CASES = [
    case._replace(name=f"{section}: {case.name}")
    for section, cases in {
        "rejected": REJECTIONS,
        "header": HEADERS,
        "line ends": LINE_ENDS,
        "blank lines": BLANK_LINES,
        "encoding": ENCODING,
        "unterminated": UNTERMINATED,
        "quotes": QUOTES,
        "field counts": FIELD_COUNTS,
        "control characters": CONTROL_CHARACTERS,
        "missing": MISSING,
        "platform": PLATFORMS,
        "time": TIMES,
        "whole file": WHOLE_FILES,
    }.items()
    for case in cases
]
