# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - tables read better with one row per line
"""Tables that case files name by `generate: function`: each returns rows of variables, with a `name`."""

from __future__ import annotations

from collections.abc import Iterator

CONTROLS = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]
HIGH = [0x80, 0x85, 0xA0, 0xE2, 0xFF]


def _hex(byte: int) -> str:
    return f"\\x{byte:02x}"


def te_obfuscations() -> list[dict[str, str]]:
    """About 200 ways to write `Transfer-Encoding: chunked` that one parser reads and another does not."""
    rows: dict[str, str] = {}
    name, value = "Transfer-Encoding", "chunked"
    for byte in CONTROLS:
        rows[f"before-value-{byte:02x}"] = f"{name}: {_hex(byte)}{value}"
        rows[f"after-value-{byte:02x}"] = f"{name}: {value}{_hex(byte)}"
        rows[f"after-name-{byte:02x}"] = f"{name}{_hex(byte)}: {value}"
    for byte in HIGH:
        rows[f"before-value-{byte:02x}"] = f"{name}: {_hex(byte)}{value}"
        rows[f"after-value-{byte:02x}"] = f"{name}: {value}{_hex(byte)}"
        rows[f"after-name-{byte:02x}"] = f"{name}{_hex(byte)}: {value}"
        rows[f"before-name-{byte:02x}"] = f"{_hex(byte)}{name}: {value}"
    for label, text in {
        "space-before-colon": f"{name} : {value}",
        "tab-before-colon": f"{name}\\t: {value}",
        "two-spaces-before-colon": f"{name}  : {value}",
        "leading-space": f" {name}: {value}",
        "leading-tab": f"\\t{name}: {value}",
        "no-space": f"{name}:{value}",
        "tabs-around": f"{name}:\\t{value}\\t",
        "spaces-around": f"{name}:   {value}   ",
        "upper": f"{name.upper()}: {value.upper()}",
        "lower": f"{name.lower()}: {value}",
        "mixed": "tRANSFER-eNCODING: ChUnKeD",
        "folded-crlf-space": f"{name}:\\r\\n {value}",
        "folded-crlf-tab": f"{name}:\\r\\n\\t{value}",
        "folded-after": f"{name}: {value}\\r\\n ",
        "folded-lf": f"{name}:\\n {value}",
        "folded-previous": f"X: x\\r\\n {name}: {value}",
        "cr-before-value": f"{name}:\\r{value}",
        "cr-after-value": f"{name}: {value}\\r",
        "cr-cr-lf": f"{name}: {value}\\r\\r",
        "lf-before-value": f"{name}:\\n{value}",
        "lf-only": f"X: x\\n{name}: {value}",
        "cr-only": f"X: x\\r{name}: {value}",
        "lf-cr": f"X: x\\n\\r{name}: {value}",
        "trailing-comma": f"{name}: {value},",
        "leading-comma": f"{name}: ,{value}",
        "twice-in-list": f"{name}: {value}, {value}",
        "twice": f"{name}: {value}\\r\\n{name}: {value}",
        "identity-then-chunked": f"{name}: identity\\r\\n{name}: {value}",
        "chunked-then-identity": f"{name}: {value}\\r\\n{name}: identity",
        "identity-list": f"{name}: identity, {value}",
        "list-identity": f"{name}: {value}, identity",
        "gzip-list": f"{name}: gzip, {value}",
        "list-gzip": f"{name}: {value}, gzip",
        "cow": f"{name}: {value}, cow",
        "cow-line": f"{name}: cow\\r\\n{name}: {value}",
        "empty-then": f"{name}: \\r\\n{name}: {value}",
        "then-empty": f"{name}: {value}\\r\\n{name}: ",
        "empty": f"{name}: ",
        "identity": f"{name}: identity",
        "xchunked": f"{name}: x{value}",
        "chunkedx": f"{name}: {value}x",
        "chunked-chunked": f"{name}: {value} {value}",
        "double-quoted": f'{name}: "{value}"',
        "single-quoted": f"{name}: '{value}'",
        "parameter": f"{name}: {value};q=1",
        "empty-parameter": f"{name}: {value};",
        "comment": f"{name}: {value} (yes)",
        "encoded": f"{name}: %63hunked",
        "colon-twice": f"{name}:: {value}",
        "value-colon": f"{name}: : {value}",
        "quoted-name": f'"{name}": {value}',
        "long-padding": f"{name}: <<\\x20*300>>{value}",
        "fullwidth": f"{name}: \\xef\\xbd\\x83hunked",
        "dotless": f"{name}: chunke\\xc4\\x8f",
        "kelvin-sign": f"{name}: chun\\xe2\\x84\\xaaed",
        "bom": f"\\xef\\xbb\\xbf{name}: {value}",
        "nbsp-utf8": f"{name}:\\xc2\\xa0{value}",
        "zero-width": f"{name}: {value}\\xe2\\x80\\x8b",
        "slash": f"{name}: {value}/1",
        "equals": f"{name}: {value}=1",
        "brackets": f"{name}: [{value}]",
        "braces": f"{name}: {{{value}}}",
        "semicolon-first": f"{name}: ;{value}",
        "star": f"{name}: *",
        "wildcard-list": f"{name}: *, {value}",
        "number": f"{name}: 1",
        "true": f"{name}: true",
        "null-word": f"{name}: null",
        "backslash": f"{name}: \\\\{value}",
        "dash": f"{name}: -{value}",
        "plus": f"{name}: +{value}",
        "at": f"{name}: {value}@",
        "hash": f"{name}: {value}#",
        "half": f"{name}: chunk",
        "spaced": f"{name}: c h u n k e d",
    }.items():
        rows[label] = text
    return [{"name": label, "line": text} for label, text in rows.items()]


def te_obfuscations_alone() -> Iterator[dict[str, object]]:
    """The same lines without Content-Length: only the plain spellings of `chunked` are framing."""
    accepted = {"no-space", "tabs-around", "spaces-around", "upper", "lower", "mixed", "long-padding"}
    for row in te_obfuscations():
        if row["name"] not in accepted:
            yield {**row}


def chunk_size_lines() -> list[dict[str, str]]:
    """Chunk size lines that are not `1*HEXDIG` followed by extensions and CRLF."""
    lines = {
        "0x": r"0x3\r\n",
        "0X": r"0X3\r\n",
        "plus": r"+3\r\n",
        "minus": r"-3\r\n",
        "minus-zero": r"-0\r\n",
        "space-after": r"3 \r\n",
        "space-before": r" 3\r\n",
        "tab-after": r"3\t\r\n",
        "tab-before": r"\t3\r\n",
        "inner-space": r"0 3\r\n",
        "underscore": r"0_3\r\n",
        "not-hex": r"g\r\n",
        "decimal-point": r"3.0\r\n",
        "exponent": r"3e+0\r\n",
        "empty": r"\r\n",
        "lf": r"3\n",
        "cr": r"3\r",
        "cr-cr-lf": r"3\r\r\n",
        "nul": r"3\0\r\n",
        "vt": r"3\x0b\r\n",
        "quote": r'"3"\r\n',
        "hash": r"#3\r\n",
        "dollar": r"$3\r\n",
        "h-suffix": r"3h\r\n",
        "fullwidth-digit": r"\xef\xbc\x93\r\n",
        "two-sizes": r"3,3\r\n",
        "overflow-64": r"10000000000000003\r\n",
        "overflow-32-digits": r"00000000000000000000000000000003\r\n",
        "leading-zeros-1000": r"<<0*1000>>3\r\n",
        "leading-zeros-100000": r"<<0*100000>>3\r\n",
        "extension-lf": r"3;\n",
        "extension-name-lf": r"3;a\n",
        "extension-value-lf": r"3;a=b\n",
        "extension-cr": r"3;a\rb\r\n",
        "extension-nul": r"3;a=\0\r\n",
        "extension-control": r"3;a=\x01\r\n",
        "extension-del": r"3;a=\x7f\r\n",
        "extension-huge": r"3;<<a*20000>>\r\n",
        "extension-2048": r"3;<<a*2048>>\r\n",
        "junk-after": r"3junk\r\n",
        "slash": r"3/\r\n",
    }
    return [{"name": label, "line": text} for label, text in lines.items()]


def content_lengths() -> list[dict[str, str]]:
    """Values of Content-Length that are not `1*DIGIT` or do not fit 64 bits."""
    values = {
        "plus": "+4",
        "minus": "-4",
        "minus-zero": "-0",
        "hex": "0x4",
        "octal": "0o4",
        "space-inside": "4 2",
        "tab-inside": "4\\t2",
        "list": "4, 4",
        "list-differing": "4, 5",
        "list-empty": "4,",
        "comma-first": ",4",
        "semicolon": "4;",
        "empty": "",
        "decimal": "4.0",
        "exponent": "4e0",
        "letters": "abc",
        "suffix": "4x",
        "quoted": '"4"',
        "single-quoted": "'4'",
        "underscore": "1_0",
        "thousands": "1,000",
        "nul": "4\\0",
        "vt": "\\x0b4",
        "ff": "4\\x0c",
        "nbsp": "\\xa04",
        "fullwidth": "\\xef\\xbc\\x94",
        "arabic": "\\xd9\\xa4",
        "max-u64-plus-one": "18446744073709551616",
        "wraps-to-4": "18446744073709551620",
        "wraps-32-bit": "4294967300x",
        "many-digits": "<<9*400>>",
        "many-zeros": "<<0*400>>4",
        "percent": "%34",
        "folded": "\\r\\n 4",
        "cr": "4\\r",
        "bare-cr-inside": "4\\r2",
        "lf-line": "4\\nX: x",
    }
    return [{"name": label, "length": text} for label, text in values.items()]


def response_heads() -> list[dict[str, str]]:
    """Heads that an origin server must not send; each must turn into 502 and a discarded connection."""
    ok, abc = "HTTP/1.1 200 OK", "Content-Length: 3\\r\\n\\r\\nabc"
    chunks = "3\\r\\nabc\\r\\n0\\r\\n\\r\\n"
    heads = {
        "two-lengths-differing": f"{ok}\\r\\nContent-Length: 3\\r\\nContent-Length: 4\\r\\n\\r\\nabc",
        "length-list-differing": f"{ok}\\r\\nContent-Length: 3, 4\\r\\n\\r\\nabc",
        "length-and-chunked": f"{ok}\\r\\nContent-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n{chunks}",
        "chunked-and-length": f"{ok}\\r\\nTransfer-Encoding: chunked\\r\\nContent-Length: 3\\r\\n\\r\\n{chunks}",
        "length-plus": f"{ok}\\r\\nContent-Length: +3\\r\\n\\r\\nabc",
        "length-minus": f"{ok}\\r\\nContent-Length: -3\\r\\n\\r\\nabc",
        "length-hex": f"{ok}\\r\\nContent-Length: 0x3\\r\\n\\r\\nabc",
        "length-empty": f"{ok}\\r\\nContent-Length: \\r\\n\\r\\nabc",
        "length-overflow": f"{ok}\\r\\nContent-Length: 18446744073709551619\\r\\n\\r\\nabc",
        "length-letters": f"{ok}\\r\\nContent-Length: abc\\r\\n\\r\\nabc",
        "length-space-colon": f"{ok}\\r\\nContent-Length : 3\\r\\n\\r\\nabc",
        "length-folded": f"{ok}\\r\\nContent-Length:\\r\\n 3\\r\\n\\r\\nabc",
        "coding-xchunked": f"{ok}\\r\\nTransfer-Encoding: xchunked\\r\\n\\r\\n{chunks}",
        "coding-list": f"{ok}\\r\\nTransfer-Encoding: gzip, chunked\\r\\n\\r\\n{chunks}",
        "coding-gzip": f"{ok}\\r\\nTransfer-Encoding: gzip\\r\\n\\r\\nabc",
        "coding-identity": f"{ok}\\r\\nTransfer-Encoding: identity\\r\\n\\r\\nabc",
        "coding-not-last": f"{ok}\\r\\nTransfer-Encoding: chunked, gzip\\r\\n\\r\\nabc",
        "coding-twice": f"{ok}\\r\\nTransfer-Encoding: chunked\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
        "coding-vt": f"{ok}\\r\\nTransfer-Encoding: \\x0bchunked\\r\\n\\r\\n0\\r\\n\\r\\n",
        "coding-quoted": f'{ok}\\r\\nTransfer-Encoding: "chunked"\\r\\n\\r\\n0\\r\\n\\r\\n',
        "coding-http-1-0": f"HTTP/1.0 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n{chunks}",
        "field-bare-cr": f"{ok}\\r\\nX: a\\rb\\r\\n{abc}",
        "field-bare-cr-header": f"{ok}\\r\\nX: a\\rSet-Cookie: b\\r\\n{abc}",
        "field-bare-lf": f"{ok}\\r\\nX: a\\nSet-Cookie: b\\r\\n{abc}",
        "field-nul": f"{ok}\\r\\nX: a\\0b\\r\\n{abc}",
        "field-control": f"{ok}\\r\\nX: a\\x01b\\r\\n{abc}",
        "field-del": f"{ok}\\r\\nX: a\\x7fb\\r\\n{abc}",
        "field-name-space": f"{ok}\\r\\nX Y: a\\r\\n{abc}",
        "field-name-space-colon": f"{ok}\\r\\nX : a\\r\\n{abc}",
        "field-name-empty": f"{ok}\\r\\n: a\\r\\n{abc}",
        "field-name-bytes": f"{ok}\\r\\nX\\xe9: a\\r\\n{abc}",
        "field-name-nul": f"{ok}\\r\\nX\\0: a\\r\\n{abc}",
        "field-no-colon": f"{ok}\\r\\nnonsense\\r\\n{abc}",
        "field-folded": f"{ok}\\r\\nX: a\\r\\n b\\r\\n{abc}",
        "field-leading-space": f"{ok}\\r\\n X: a\\r\\n{abc}",
        "heads-lf-only": "HTTP/1.1 200 OK\\nContent-Length: 3\\n\\nabc",
        "status-line-lf": f"HTTP/1.1 200 OK\\n{abc}",
        "reason-bare-cr": f"HTTP/1.1 200 O\\rK\\r\\n{abc}",
        "reason-split": f"HTTP/1.1 200 OK\\rSet-Cookie: a=b\\r\\n{abc}",
        "reason-nul": f"HTTP/1.1 200 O\\0K\\r\\n{abc}",
        "status-two-digits": f"HTTP/1.1 20 OK\\r\\n{abc}",
        "status-four-digits": f"HTTP/1.1 2000 OK\\r\\n{abc}",
        "status-000": f"HTTP/1.1 000 OK\\r\\n{abc}",
        "status-099": f"HTTP/1.1 099 OK\\r\\n{abc}",
        "status-letters": f"HTTP/1.1 2xx OK\\r\\n{abc}",
        "status-signed": f"HTTP/1.1 +20 OK\\r\\n{abc}",
        "status-missing": f"HTTP/1.1\\r\\n{abc}",
        "version-2": f"HTTP/2 200 OK\\r\\n{abc}",
        "version-2-0": f"HTTP/2.0 200 OK\\r\\n{abc}",
        "version-1-2": f"HTTP/1.2 200 OK\\r\\n{abc}",
        "version-0-9": f"HTTP/0.9 200 OK\\r\\n{abc}",
        "version-word": f"ICY 200 OK\\r\\n{abc}",
        "version-lower": f"http/1.1 200 OK\\r\\n{abc}",
        "two-spaces": f"HTTP/1.1  200 OK\\r\\n{abc}",
        "tab-separated": f"HTTP/1.1\\t200\\tOK\\r\\n{abc}",
        "leading-space": f" HTTP/1.1 200 OK\\r\\n{abc}",
        "leading-lf": f"\\nHTTP/1.1 200 OK\\r\\n{abc}",
        "html-without-head": "<html>hello</html>\\r\\n\\r\\n",
        "garbage": "\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03\\r\\n\\r\\n",
        "request-as-response": "GET / HTTP/1.1\\r\\nHost: a.test\\r\\n\\r\\n",
        "unasked-101": "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\nConnection: upgrade\\r\\n\\r\\n",
        "endless-field": "HTTP/1.1 200 OK\\r\\nX: <<a*200000>>\\r\\n\\r\\n",
        "too-many-fields": "HTTP/1.1 200 OK\\r\\n<<X: a\\r\\n*2000>>\\r\\n",
    }
    return [{"name": label, "reply": text} for label, text in heads.items()]
