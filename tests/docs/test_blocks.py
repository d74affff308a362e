"""Every block of code in the documentation is executed or checked, or says why it is not."""

import re
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import languages
from tests.docs.blocks import ROOT, Block, all_blocks, blocks
from tests.docs.programs import Problem, Unknown
from tests.docs.shell import NotShell, commands

EXECUTED = {
    ("README.md", "sh"): "tests.integration.test_readme",
    ("docs/reference/api.md", "sh"): "tests.integration.test_api",
    ("docs/topics/metadata.md", "sh"): "tests.browser.test_metadata",
    ("docs/topics/viewers.md", "python"): "tests.auth.test_playback",
    ("docs/topics/viewers.md", "sh"): "tests.integration.test_sessions",
}
"""Pages of which everything in a language is executed, and by what."""


RUN = ("sh", "python")
"""What tests/integration/test_docs_blocks.py can run."""
EXAMPLE = re.compile(r"\bexamples/([\w./-]*\w)")
"""A file of the examples, or a directory."""


def source_of(module: str) -> str:
    """Give the text of a module; '' where there is none."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        return ""
    return Path(found.origin).read_text() if found is not None and found.origin else ""


def doubt(block: Block) -> str:
    """Tell why a block is not executed by the module that its mark names; '' when it may be.

    Who executes a page has to read it, or to say that it does as the page says; who runs an
    example has to name the file.
    """
    source = source_of(block.words)
    if not source:
        return f"there is no {block.words}"
    examples = [name.rpartition("/")[2] for name in EXAMPLE.findall(block.text)]
    if block.page.rpartition("/")[2] in source:
        return ""
    if examples and all(name in source for name in examples):
        return ""
    return f"{block.words} names neither {block.page} nor what is run there"


def judge(block: Block, page: languages.Page) -> str:
    """Tell what is wrong with a block; '' for nothing.

    Args:
        block: the next one of its page.
        page: what goes before it.
    """
    problem, is_executed = "", (block.page, block.language) in EXECUTED
    try:
        page.check(block)
    except Unknown as error:
        # a mark excuses this alone: what is known to be wrong stays so
        problem = "" if block.mark else str(error)
    except Problem as error:
        problem = str(error)
    if is_executed:
        problem = ""
    elif block.mark == "run" and block.words:
        problem = problem or doubt(block)
    elif block.mark == "run" and block.language not in RUN:
        problem = problem or f"test_docs_blocks does not run {block.language}"
    elif block.mark == "not run" and not block.words:
        problem = problem or "not run, and no reason"
    elif not block.mark and not problem and languages.is_program(block):
        problem = "it has no mark"
    return f"{block}: {problem}" if problem else ""


class BlockTests(SynchronousTestCase):
    def test_all(self) -> None:
        """None of them is left out, and none is wrong."""
        page, name, wrong = languages.Page(), "", []
        found = all_blocks()
        for block in found:
            if block.page != name:
                page, name = languages.Page(), block.page
            wrong.append(judge(block, page))
        wrong = [problem for problem in wrong if problem]
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreater(len(found), 80)
        for (name, language), module in EXECUTED.items():
            source = ROOT / f"{module.replace('.', '/')}.py"
            self.assertIn(name.rpartition("/")[2], source.read_text())
            self.assertIn((name, language), {(block.page, block.language) for block in found})


class JudgeTests(SynchronousTestCase):
    """The test above can fail."""

    REASON = "<!-- not run: a test -->"

    def problem(self, language: str, text: str, above: str = "") -> str:
        """Tell what is wrong with a block of a page."""
        (block,) = blocks("page.md", f"# Page\n\n{above}\n```{language}\n{text}\n```\n\nmore\n")
        return judge(block, languages.Page())

    def test_wrong(self) -> None:
        """What is wrong is found."""
        for language, text, words in (
            ("sh", "ffmpeg -i film.mp4", "nothing executes or checks ffmpeg"),
            ("sh", "cat x | vlc -", "vlc"),
            ("sh", "echo $(vlc x)", "vlc"),
            ("sh", "rapidrtmp serve --no-such-option", "no-such-option"),
            ("sh", "rapidrtmp serve --hls-max-segments 1", "HLS_MAX_SEGMENTS=1"),
            ("sh", "rapidrtmp", "needs a command"),
            ("sh", "twistd --no-such rapidrtmp", "--no-such"),
            ("sh", "twistd -n rapidrtmp --no-such", "no-such"),
            ("sh", "STREAM_GRACE=often rapidrtmp serve", "STREAM_GRACE"),
            ("sh", "curl http://localhost:8080/api/v1/nothing", "nothing at"),
            ("sh", "curl -X DELETE http://localhost:8080/api/v1/streams", "DELETE"),
            ("sh", "curl http://localhost:8080/api/v1/publish", "GET"),
            ("sh", "curl -d '{\"key\": 1}' http://localhost:8080/api/v1/publish", "streamKey"),
            ("sh", "curl -d '{' http://localhost:8080/api/v1/publish", "JSON"),
            ("sh", "curl --bogus http://localhost:8080/ready", "--bogus"),
            ("sh", "make nothing", "nothing"),
            ("sh", "make test NO_SUCH=1", "NO_SUCH"),
            ("sh", "pip install '.[bogus]'", "bogus"),
            ("sh", "pip install examples/nothing", "nothing"),
            ("sh", "python -m rapidrtmp.nothing", "rapidrtmp.nothing"),
            ("sh", "python examples/nothing.py", "nothing.py"),
            ("sh", "echo 'open", "closed"),
            ("python", "x = (", "python"),
            ("python", "import no_such_module", "no_such_module"),
            ("python", "from rapidrtmp.embedding import nothing", "nothing"),
            ("json", "{", "json"),
            ("yaml", "a: [", "yaml"),
            ("toml", "a =", "toml"),
            ("xml", "<a>", "xml"),
            ("css", "a { color }", "css"),
            ("js", "const a = (", "js"),
            ("ini", "no section", "ini"),
            ("ini", "[Service]\nEnvironment=STREAM_GRACE=often", "STREAM_GRACE"),
            ("sh", "STREAM_GRACE=often", "STREAM_GRACE"),
            ("html", "<p><b></p>", "</p>"),
            ("html", '<script src="/static/nothing.js"></script>', "nothing.js"),
            ("text", "$ rapidrtmp serve", "a command"),
            ("", "x", "no language"),
            ("nginx", "server {}", "nginx"),
        ):
            self.assertIn(words, self.problem(language, text), text)
            if "nothing executes or checks" not in self.problem(language, text):
                self.assertIn(words, self.problem(language, text, self.REASON), text)
        several = "vlc x\nrapidrtmp serve --no-such-option"
        self.assertIn("no-such-option", self.problem("sh", several, self.REASON))

    def test_right(self) -> None:
        """What is right passes."""
        for language, text in (
            ("sh", "make run\nmake bench BENCH='fanout --players 100'"),
            ("sh", "twistd -n rapidrtmp --http-addr :80"),
            ("sh", "for key in a b; do\n  rapidrtmp token $key  # don't stop\ndone > tokens 2>&1"),
            ("sh", "curl -sN -H \"A: $(cat api_keys)\" 'http://localhost:8080/live/show.flv'"),
            ("sh", 'curl -X DELETE "http://localhost:8080/api/v1/tokens/$ID"'),
            ("sh", "cat > file <<'END'\nvlc is not run\nEND\necho done"),
            ("sh", "(umask 077 && echo x > y)"),
            ("sh", "pip install '.[gcs]' examples/doorman 'rapidrtmp[media,gcs]'"),
            ("ini", "[Service]\nEnvironment=STREAM_GRACE=5s\nEnvironment=X=1"),
            ("html", '<img src="/live/show/thumb.jpg"><p>x</p>'),
            ("text", "rapidrtmp: STREAM_GRACE=often"),
            ("css", "a, b > c { color: red; width: 1rem; }"),
            ("js", "const { a } = await import('x');"),
        ):
            self.assertEqual(self.problem(language, text, self.REASON), "", text)

    def test_marks(self) -> None:
        """A reason excuses, and one that executes does; nothing else."""
        vlc = ("sh", "vlc x")
        self.assertEqual(self.problem(*vlc, "<!-- not run: needs a screen -->"), "")
        self.assertEqual(self.problem(*vlc, "<!-- not run: needs\na screen -->\n"), "")
        self.assertEqual(self.problem(*vlc, "<!-- run: tests.docs.test_blocks -->"), "")
        self.assertIn("no tests.bogus", self.problem(*vlc, "<!-- run: tests.bogus -->"))
        other = "<!-- run: tests.docs.shell -->"
        self.assertIn("names neither page.md", self.problem(*vlc, other))
        self.assertIn("no reason", self.problem(*vlc, "<!-- not run: -->"))
        self.assertIn("vlc", self.problem(*vlc, "<!-- a remark -->"))
        self.assertIn("vlc", self.problem(*vlc, "<!-- not run: why -->\nText between."))

    def test_unmarked(self) -> None:
        """What could be run needs a mark; settings and data do not."""
        for language, text in (
            ("sh", "make run"),
            ("sh", "A=1\nmake run"),
            ("python", "x = 1"),
            ("html", "<p>x</p>"),
            ("js", "const a = 1;"),
        ):
            self.assertIn("no mark", self.problem(language, text), text)
        for language, text in (
            ("sh", "# a file\nSTREAM_GRACE=5s"),
            ("sh", "export STREAM_GRACE=5s"),
            ("json", "{}"),
            ("text", "x"),
        ):
            self.assertEqual(self.problem(language, text), "", text)
        self.assertEqual(self.problem("python", "x = 1", "<!-- run -->"), "")
        self.assertIn("does not run js", self.problem("js", "const a = 1;", "<!-- run -->"))

    def test_examples(self) -> None:
        """A module that runs examples names each of them."""
        above = "<!-- run: tests.integration.test_examples -->"
        program, other = "python examples/embedded_server.py", "pip install examples/doorman"
        self.assertEqual(self.problem("sh", program, above), "")
        self.assertIn("names neither", self.problem("sh", f"{program}\n{other}", above))
        self.assertIn("names neither", self.problem("sh", "pip install '.[media]'", above))

    def test_environment(self) -> None:
        """What a block exports, later ones of its page have."""
        text = "```sh\nexport STORAGE_TYPE=gcs\n```\n```sh\nrapidrtmp serve\n```\n"
        page = languages.Page()
        wrong = [judge(block, page) for block in blocks("page.md", text)]
        self.assertEqual(wrong[0], "")
        self.assertIn("GCS_BUCKET_NAME", wrong[1])

    def test_blocks(self) -> None:
        """Blocks are found in lists and directives, and their indentation is taken off."""
        text = (
            "- item\n\n  <!-- run -->\n  ```sh\n  a\n    b\n  ```\n\n"
            "````{note}\n```json\n{}\n```\n````\n"
            "~~~ini\n```\n~~~\n\n```{code-block} YAML\na: 1\n```\n"
        )
        found = [(each.line, each.language, each.text, each.mark) for each in blocks("p", text)]
        expected = [
            (4, "sh", "a\n  b\n", "run"),
            (10, "json", "{}\n", ""),
            (14, "ini", "```\n", ""),
            (18, "yaml", "a: 1\n", ""),
        ]
        self.assertEqual(found, expected)


class ShellTests(SynchronousTestCase):
    def test_commands(self) -> None:
        """Words, assignments and what is inside of others are told apart."""
        for text, expected in (
            ("a 'b c' \"d $e\" # f", [["a", "b c", "d $e"]]),
            ("a \\\n  b && c | d; e", [["a", "b"], ["c"], ["d"], ["e"]]),
            ('a "$(b c)" $((1 + 2))', [["a", "$(...)", "$(...)"], ["b", "c"]]),
            ("a > b 2>&1 2> e < c d", [["a", "d"]]),
            ("if a; then b; else c; fi", [["a"], ["b"], ["c"]]),
            ("sudo env X=1 a", [["a"]]),
        ):
            self.assertEqual([command.words for command in commands(text)], expected, text)
        (command,) = commands("A=1 B='2 3' c D=4")
        self.assertEqual(command.assignments, {"A": "1", "B": "2 3"})
        self.assertEqual(commands("export A=1")[0].assignments, {"A": "1"})
        for text in ("a 'b", 'a "b', "a $(b"):
            self.assertRaises(NotShell, commands, text)
