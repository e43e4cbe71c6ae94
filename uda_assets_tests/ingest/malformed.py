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


def _id(name: str, user_id: bytes, reason: str | None = None) -> Case:
    """One record, on line 2, with this text for its first field."""
    return Case(name, H + user_id + REST + b"\n", [], [(2, reason)]) if reason else _kept(name, user_id + REST)


def _platform(name: str, platform: str, *, known: bool) -> Case:
    record = f"u1,s1,{platform},2026-01-31T08:15:00Z,view".encode()
    return _kept(name, record) if known else Case(name, H + record + b"\n", [], [(2, "unknown_platform")])


def _time(name: str, time: str, *, good: bool) -> Case:
    record = f"u1,s1,ios,{time},view".encode()
    return _kept(name, record) if good else Case(name, H + record + b"\n", [], [(2, "bad_activity_time")])


def _kept(name: str, record: bytes) -> Case:
    return Case(name, H + record + b"\n", [2], [])


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
        [3],
        [(2, "bad_quote"), (4, "bad_quote"), (5, "unterminated_quote")]
        if False
        else [(2, "bad_quote"), (4, "unterminated_quote")],
    ),
]
