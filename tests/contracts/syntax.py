"""What every reader of source code must do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from forgehand.application.ports.syntax import Symbol, Syntax

EXAMPLES = {
    "pkg/client.py": (
        """
TIMEOUT = 5
_hidden = 1

class Client(Base):
    retries = 3

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    async def get(self, path: str, *, limit: int = 1) -> bytes:
        return b""

    def _send(self) -> None: ...

    class Options:
        def merge(self): ...

def connect(url: str,
            retries: int = 3) -> Client:
    return Client(url)

if True:
    def fallback(): ...
""",
        {
            ("constant", "TIMEOUT"): "TIMEOUT = 5",
            ("class", "Client"): "class Client(Base)",
            ("method", "Client.__init__"): "def __init__(self, url: str) -> None",
            ("method", "Client.get"): "async def get(self, path: str, *, limit: int = 1) -> bytes",
            ("class", "Client.Options"): "class Options",
            ("method", "Client.Options.merge"): "def merge(self)",
            ("function", "connect"): "def connect(url: str, retries: int = 3) -> Client",
            ("function", "fallback"): "def fallback()",
        },
    ),
    "web/api.js": (
        """
const local = 1;
function helper() {}
export const LIMIT = 10;
export const get = async (url) => fetch(url);
export default class Api extends Base {
  #secret() {}
  static open(url) { return new Api(url); }
}
export { helper as help };
export { other } from './other.js';
""",
        {
            ("constant", "LIMIT"): "LIMIT = 10",
            ("function", "get"): "get = async (url)",
            ("class", "Api"): "class Api extends Base",
            ("method", "Api.open"): "static open(url)",
            ("function", "help"): "function helper()",
            ("export", "other"): "export { other }",
        },
    ),
    "web/common.cjs": (
        """
function get(url) {}
function hidden() {}
module.exports = { get, post(url) {}, version: '1' };
exports.extra = function (x) {};
""",
        {
            ("function", "get"): "function get(url)",
            ("function", "post"): "post(url)",
            ("constant", "version"): "version = '1'",
            ("function", "extra"): "function (x)",
        },
    ),
    "web/types.ts": (
        """
export interface Options { retries: number }
export type Url = string;
export enum Level { Low, High }
interface Hidden {}
export abstract class Store<T> {
  private cache = 1;
  protected load(): void {}
  private drop(): void {}
  get(key: string): T { return this.cache as T; }
  abstract put(key: string, value: T): void;
}
export declare function connect(url: Url): Store<string>;
""",
        {
            ("interface", "Options"): "interface Options",
            ("type", "Url"): "type Url = string",
            ("enum", "Level"): "enum Level",
            ("class", "Store"): "abstract class Store<T>",
            ("method", "Store.get"): "get(key: string): T",
            ("method", "Store.put"): "abstract put(key: string, value: T): void",
            ("function", "connect"): "function connect(url: Url): Store<string>",
        },
    ),
    "web/view.tsx": (
        "export function View(props: Props) { return <div>{props.title}</div>; }\n",
        {("function", "View"): "function View(props: Props)"},
    ),
    "net/client.go": (
        """package net

const MaxRetries = 3
var errClosed, ErrTimeout = errors.New("a"), errors.New("b")

type Client struct { url string }
type Doer interface { Do() error }
type hidden struct{}
type Handler func(int) error

func (c *Client) Get(path string) ([]byte, error) { return nil, nil }
func (c *Client) send() {}
func (h hidden) Open() {}
func Dial[T any](url string) *Client { return nil }
func dial() {}
""",
        {
            ("constant", "MaxRetries"): "const MaxRetries = 3",
            ("constant", "ErrTimeout"): 'var errClosed, ErrTimeout = errors.New("a"), errors.New("b")',
            ("struct", "Client"): "type Client struct",
            ("interface", "Doer"): "type Doer interface",
            ("type", "Handler"): "type Handler func(int) error",
            ("method", "Client.Get"): "func (c *Client) Get(path string) ([]byte, error)",
            ("function", "Dial"): "func Dial[T any](url string) *Client",
        },
    ),
    "src/main/java/Client.java": (
        """package net;
class Hidden { public void no() {} }
@Deprecated
public final class Client<T> extends Base implements Closer {
    public static final int LIMIT = 3;
    private int count;
    public Client(String url) throws IOException { }
    @Override public <R> R get(String path, R fallback) { return fallback; }
    protected void load() {}
    void open() {}
    public enum Level { LOW; public int rank() { return 1; } }
    public interface Listener { void heard(String line); int NONE = 0; }
}
""",
        {
            ("class", "Client"): "public final class Client<T> extends Base implements Closer",
            ("constant", "Client.LIMIT"): "public static final int LIMIT = 3",
            ("method", "Client.Client"): "public Client(String url) throws IOException",
            ("method", "Client.get"): "public <R> R get(String path, R fallback)",
            ("enum", "Client.Level"): "public enum Level",
            ("method", "Client.Level.rank"): "public int rank()",
            ("interface", "Client.Listener"): "public interface Listener",
            ("method", "Client.Listener.heard"): "void heard(String line)",
            ("constant", "Client.Listener.NONE"): "int NONE = 0",
        },
    ),
    "src/lib.rs": (
        """
#[derive(Debug)]
pub struct Client<T> { url: String, inner: T }
struct Hidden;
impl Hidden { pub fn no() {} }
pub enum Level { Low, High }
pub const LIMIT: u32 = 3;
pub type Url = String;
pub(crate) fn internal() {}
pub fn connect<'a>(url: &'a str) -> Client<()> where (): Sized { todo!() }
pub trait Store: Send { fn get(&self, key: &str) -> u8; }
impl<T> Client<T> { pub async fn send(&self) -> u8 { 1 } fn drop_it(&self) {} }
impl<T> Store for Client<T> { fn get(&self, key: &str) -> u8 { 1 } }
pub mod wire { pub fn encode() {} fn raw() {} }
pub use crate::other::{Thing, Old as New};
""",
        {
            ("struct", "Client"): "pub struct Client<T>",
            ("enum", "Level"): "pub enum Level",
            ("constant", "LIMIT"): "pub const LIMIT: u32 = 3",
            ("type", "Url"): "pub type Url = String",
            ("function", "connect"): "pub fn connect<'a>(url: &'a str) -> Client<()> where (): Sized",
            ("trait", "Store"): "pub trait Store: Send",
            ("method", "Store.get"): "fn get(&self, key: &str) -> u8",
            ("method", "Client.send"): "pub async fn send(&self) -> u8",
            ("module", "wire"): "pub mod wire",
            ("function", "wire.encode"): "pub fn encode()",
            ("export", "Thing"): "pub use crate::other::{Thing, Old as New}",
            ("export", "New"): "pub use crate::other::{Thing, Old as New}",
        },
    ),
}

# path, before, after, the names whose digest changes
EDITS = [
    (
        "a.py",
        "class A(B):\n    x = 1\n    def m(self):\n        return 1\n",
        "class A(B):\n    x = 1\n    def m(self):\n        return 2\n",
        {"A.m"},
    ),
    ("a.py", "class A(B):\n    def m(self): ...\n", "class A(C):\n    def m(self): ...\n", {"A"}),
    ("a.py", "class A:\n    x = 1\n", "class A:\n    x = 2\n", {"A"}),
    ("a.py", "def f():\n    return 1\n", "def f():\n        return  1\n", set()),
    ("a.py", "def f(): ...\ndef g(): ...\n", "\n\ndef g(): ...\ndef f(): ...\n", set()),
    ("a.py", "class A:\n    def f(self): ...\n",
     "class A:\n    def f(self): ...\n    def _g(self): 1\n", set()),
    ("a.ts", "export class A { m() { return 1 } }", "export class A { m() { return 2 } }", {"A.m"}),
    ("a.ts", "export interface A { a: 1 }", "export interface A { a: 2 }", {"A"}),
    ("a.go", "package a\ntype A struct { B int }\n", "package a\ntype A struct { B uint }\n", {"A"}),
    ("A.java", "public class A { int x; public int m() { return 1; } }",
     "public class A { int x; public int m() { return 2; } }", {"A.m"}),
    ("a.rs", "pub struct A;\nimpl A { pub fn m() -> u8 { 1 } }",
     "pub struct A;\nimpl A { pub fn m() -> u8 { 2 } }", {"A.m"}),
    ("a.rs", "#[derive(Eq)]\npub struct A;", "pub struct A;", {"A"}),
]  # fmt: skip

SUFFIXES = (".py", ".js", ".tsx", ".ts", ".go", ".java", ".rs")

ABSURD = {
    "a hundred thousand parentheses": b"(" * 100_000,
    "balanced nesting": b"f(" * 30_000 + b")" * 30_000,
    "generics without end": b"a<" * 30_000,
    "arrows without end": b"a => " * 10_000,
    "one line of a megabyte": b"x = 1;" * 175_000,
    "nested blocks": b"if (x) {" * 10_000,
    "nested classes": b"class A { " * 5_000,
    "bytes that are not UTF-8": b"\xff\xfe\x00def f(): pass\n" * 1_000,
    "only nulls": b"\x00" * 100_000,
    "nothing": b"",
}


def listed(symbols: Sequence[Symbol] | None) -> dict[tuple[str, str], str]:
    return {(symbol.kind, symbol.name): symbol.signature for symbol in symbols or ()}


class SyntaxContract:
    """Subclass it with a fixture `syntax`."""

    @pytest.mark.parametrize("path", EXAMPLES)
    async def test_the_public_symbols_and_their_signatures_are_found(self, syntax: Syntax, path: str) -> None:
        source, expected = EXAMPLES[path]

        symbols = await syntax.public_symbols(path, source.encode())

        assert expected == listed(symbols)

    async def test_symbols_come_in_order_of_appearance(self, syntax: Syntax) -> None:
        symbols = await syntax.public_symbols(
            "a.py", b"def z(): ...\nB = 1\nclass A:\n    def m(self): ...\n"
        )

        assert [symbol.name for symbol in symbols or ()] == ["z", "B", "A", "A.m"]

    @pytest.mark.parametrize("path", ["README.md", "Makefile", "data.json", "py", "script.pyc", ""])
    async def test_a_path_without_a_grammar_has_no_answer(self, syntax: Syntax, path: str) -> None:
        assert await syntax.public_symbols(path, b"def f(): ...") is None

    async def test_a_file_without_symbols_has_an_empty_answer(self, syntax: Syntax) -> None:
        assert await syntax.public_symbols("a.py", b"") == ()

    @pytest.mark.parametrize(("path", "before", "after", "changed"), EDITS)
    async def test_a_digest_changes_with_the_symbols_own_text_alone(
        self, syntax: Syntax, path: str, before: str, after: str, changed: set[str]
    ) -> None:
        old = {s.name: s.digest for s in await syntax.public_symbols(path, before.encode()) or ()}
        new = {s.name: s.digest for s in await syntax.public_symbols(path, after.encode()) or ()}

        assert old
        assert old.keys() == new.keys()
        assert changed == {name for name in old if old[name] != new[name]}

    async def test_a_plain_all_decides_what_is_public_in_python(self, syntax: Syntax) -> None:
        source = b"""
__all__ = ["shown", "_odd", "passed_on", "lower"]
from .other import passed_on
lower = 1
def shown(): ...
def hidden(): ...
def _odd(): ...
"""
        symbols = await syntax.public_symbols("pkg/__init__.py", source)

        assert listed(symbols) == {
            ("constant", "lower"): "lower = 1",
            ("function", "shown"): "def shown()",
            ("function", "_odd"): "def _odd()",
            ("export", "passed_on"): "passed_on",
        }

    async def test_an_all_that_code_builds_is_not_believed(self, syntax: Syntax) -> None:
        source = b"__all__ = ['a']\n__all__ += other.__all__\ndef a(): ...\ndef b(): ...\n"

        symbols = await syntax.public_symbols("a.py", source)

        assert {("function", "a"), ("function", "b")} == listed(symbols).keys()

    async def test_overloads_are_all_listed(self, syntax: Syntax) -> None:
        source = b"public class A { public void m(int a) {} public void m(String a) {} }"

        symbols = await syntax.public_symbols("A.java", source) or ()

        assert [s.signature for s in symbols if s.name == "A.m"] == [
            "public void m(int a)",
            "public void m(String a)",
        ]

    async def test_broken_source_gives_what_can_be_read(self, syntax: Syntax) -> None:
        symbols = await syntax.public_symbols("a.py", b"def fine(): ...\n\ndef broken(:\n  )))\n")

        assert ("function", "fine") in listed(symbols)

    async def test_a_signature_is_one_bounded_visible_line(self, syntax: Syntax) -> None:
        parameters = ",\n    ".join(f"parameter_{i}: int" for i in range(200))
        source = f"def f(\n    a='\u202e\u200b\x07', {parameters}):\n    return 1\n"

        symbols = await syntax.public_symbols("a.py", source.encode()) or ()

        assert len(symbols) == 1
        assert len(symbols[0].signature) <= 1000
        assert symbols[0].signature.isprintable()

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("source", ABSURD.values(), ids=ABSURD)
    async def test_absurd_source_neither_raises_nor_hangs(
        self, syntax: Syntax, suffix: str, source: bytes
    ) -> None:
        async with asyncio.timeout(20):
            await syntax.public_symbols(f"absurd{suffix}", source)

    async def test_files_are_read_at_the_same_time(self, syntax: Syntax) -> None:
        found = await asyncio.gather(
            *(syntax.public_symbols(f"m{i}.py", f"def f{i}(): ...\n".encode()) for i in range(20))
        )

        assert [f"f{i}" for i in range(20)] == [symbols[0].name for symbols in found if symbols]
