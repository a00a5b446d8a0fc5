"""The documentation: commands that parse, links that resolve, Python that compiles, generated pages."""

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

import insideout_tf
from insideout_tf import overrides, recipes
from insideout_tf.errors import UserError

PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]
VERBS = (
    *("audit", "compare", "demo", "evaluate", "explain", "export", "inspect", "predict", "report"),
    *("train", "sweep"),
)
names = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)


def load_generator():
    """Returns docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_blocks(path):
    """Yields (language, text) of each fenced or indented block of code in a Markdown file."""
    text = path.read_text("utf-8")
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in fence.finditer(text):
        yield match[1], match[2]
    for match in re.finditer(r"(?:^ {4}.*\n)+", fence.sub("", text), re.MULTILINE):
        yield "", "\n".join(line[4:] for line in match[0].splitlines())


def read_commands(path):
    """Yields the words after `insideout` of each command in the blocks of a Markdown file."""
    for _, block in read_blocks(path):
        for line in block.replace("\\\n", " ").splitlines():
            words = re.sub(r"\s{2,}(#|→|[a-z]+\.main).*", "", line)
            for command in re.split(r"&&|\||>", words.partition("  #")[0]):
                command = re.sub(r"^\s*(\w+=\S+ )*", "", command)
                if command.startswith(("insideout ", "python -m insideout_tf ")):
                    yield shlex.split(re.sub(r"^python -m insideout_tf", "insideout", command))[1:]


def list_options(verb):
    """Returns the options in the help of a verb, from its parser."""
    module = importlib.import_module(f"insideout_tf.{verb}")
    if verb == "recipes":
        return {"--help", "--copy"}
    done = []

    def keep(parser, *_):
        done.append({option for action in parser._actions for option in action.option_strings})
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("argparse.ArgumentParser.parse_args", keep)
        with pytest.raises(SystemExit):
            module.parse([])
    return done[0]


@names
def test_commands_parse(path):
    """Every option exists and has an allowed value; recipes and fields of --set exist."""
    for words in read_commands(path):
        verb, arguments = words[0], words[1:]
        if verb.startswith("-"):
            assert words in (["--help"], ["--version"])
        elif verb == "recipes":
            assert not arguments or arguments[:1] == ["--copy"], words
            assert not arguments or arguments[1] in recipes.names(), words
        elif verb != "VERB":
            assert verb in VERBS, words
            check_command(verb, arguments)


def check_command(verb, arguments):
    """Parses one command; of `train`, its recipe and its settings are read as well."""
    module = importlib.import_module(f"insideout_tf.{verb}")
    try:
        parsed = module.parse(arguments)
    except SystemExit:
        pytest.fail(f"insideout {verb} {shlex.join(arguments)}")
    if verb == "train" and not parsed.resume and not str(parsed.experiment).endswith(".py"):
        try:
            module.choose_run(parsed)
        except UserError as error:
            pytest.fail(f"insideout train {shlex.join(arguments)}: {error}")


def test_commands_are_found():
    found = [words for path in TEXTS for words in read_commands(path)]
    assert len(found) > 50 and {words[0] for words in found} >= {*VERBS, "recipes"}


def test_options_in_the_text_exist():
    """Of commands such as `insideout train --resume RUN`, and of options alone, such as `--tta`."""
    options = {verb: list_options(verb) for verb in (*VERBS, "recipes")}
    known = {option for each in options.values() for option in each}
    known |= {"--logdir", "--strict", "--version", "--pictures", "--rounds", "--out"}
    for path in TEXTS:
        if path.name in ("changelog.md", "contributing.md", "security.md"):
            continue
        text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
        for span in re.findall(r"`([^`\n]+)`", text):
            command = re.match(r"insideout (\w+)", span)
            assert not command or command[1] in (*options, "VERB"), f"{path.name}: {span}"
            allowed = options.get(command[1], set()) if command and command[1] != "VERB" else known
            used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
            assert used <= allowed, f"{path.name}: {span}"


@names
def test_settings_in_the_text_exist(path):
    """Each `--set FIELD=VALUE` outside blocks is a field of an experiment."""
    experiment = overrides.load("v2b0_cpu")
    for setting in re.findall(r"--set ([a-z][\w.]*=[^\s`]+)", path.read_text("utf-8")):
        overrides.override(experiment, [setting])


@names
def test_python_compiles_and_its_names_exist(path):
    for language, block in read_blocks(path):
        if language != "python":
            continue
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "insideout_tf":
                assert node.attr in insideout_tf.__all__, f"{path.name}: {ast.unparse(node)}"
            if isinstance(node, ast.ImportFrom) and node.module.startswith("insideout_tf"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    place = f"{node.module}.{alias.name}"
                    assert hasattr(module, alias.name) or importlib.util.find_spec(place), place
            if isinstance(node, ast.Call):
                check_call(path, node)


def check_call(path, node):
    """Checks the keywords of a call of `insideout_tf.NAME` or of a method of `run`."""
    owner, name = getattr(node.func, "value", None), getattr(node.func, "attr", "")
    if getattr(owner, "id", "") == "insideout_tf":
        function = getattr(insideout_tf, name)
    elif getattr(owner, "id", "") == "run":
        function = getattr(insideout_tf.Run, name)
    else:
        return
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for keyword in node.keywords:
        assert keyword.arg in parameters, f"{path.name}: {ast.unparse(node)}"


@names
def test_links_resolve(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        place = path.parent / file if file else path
        assert place.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in list_anchors(place), f"{path.name}: {target}"


def list_anchors(path):
    """Returns the anchors of the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", each) for each in words}


def test_every_page_is_in_the_navigation():
    listed = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == [path.name for path in PAGES]
    used = {
        name for path in PAGES for name in re.findall(r"\]\(images/([\w.-]+)", path.read_text())
    }
    assert used == {path.name for path in (ROOT / "docs/images").iterdir()}


def test_generated_pages_are_current():
    for path, text in load_generator().make_pages().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run `python docs/generate.py`"


def test_the_configuration_has_every_field():
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\| (.*) \|$", text, re.MULTILINE)
    tree = ast.parse((ROOT / "insideout_tf/config.py").read_text("utf-8"))
    fields = {
        node.target.id
        for each in tree.body
        if isinstance(each, ast.ClassDef)
        for node in each.body
        if isinstance(node, ast.AnnAssign)
    }
    assert {name for name, _ in rows} == fields
    assert [name for name, meaning in rows if not meaning.strip()] == []


def test_the_reference_has_the_whole_api():
    listed = re.findall(r"^::: (\S+)$", (ROOT / "docs/api.md").read_text("utf-8"), re.MULTILINE)
    assert {f"insideout_tf.{name}" for name in insideout_tf.__all__} <= set(listed)
    for name in listed:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_messages_exist():
    """The messages of troubleshooting.md are those of the code; "..." stands for what varies."""
    messages = []
    for path in (ROOT / "insideout_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(value, "value", None) for value in node.values)
                messages.append("…".join(p if isinstance(p, str) else "" for p in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.append(node.value)
    text = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    phrases = [each for cell in cells for each in re.findall(r"`([^`]+)`", cell)]
    phrases = [each for each in phrases if " " in each]
    assert len(phrases) > 25
    for phrase in phrases:
        parts = [part.strip() for part in phrase.split("...")]
        found = any(all(part in message for part in parts) for message in messages)
        assert found, phrase


def test_measured_numbers_are_those_of_the_evidence():
    """Each decimal in the text and the tables of docs/ stands in the file that reports the measurement."""
    files = ("README", "experiments/RESULTS", "experiments/NOTEBOOK", "benchmarks/README")
    sources = [ROOT / f"{name}.md" for name in (*files, "insideout_tf/models/README")]
    measured = " ".join(path.read_text("utf-8") for path in sources)
    settings = " ".join(path.read_text("utf-8") for path in (ROOT / "insideout_tf").rglob("*.py"))
    versions = (ROOT / "requirements.txt").read_text() + (ROOT / "setup.cfg").read_text() + "0.1.0"
    known = set(re.findall(r"\d[\d,]*\.\d+", f"{measured} {settings} {versions}"))
    for path in PAGES:
        if path.name in ("configuration.md", "changelog.md", "contributing.md", "security.md"):
            continue
        text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"`[^`\n]+`|arXiv \d+\.\d+|https?://\S+", "", text)
        wrong = set(re.findall(r"\d[\d,]*\.\d+", text)) - known
        assert not wrong, f"{path.name}: {wrong}"
    (count,) = re.findall(r"- (\d+) trained networks have", sources[1].read_text("utf-8"))
    assert f"{count} trained" in (ROOT / "docs/results.md").read_text("utf-8")
    assert f"best of {count} networks" in (ROOT / "docs/evaluate.md").read_text("utf-8")


def test_the_citation_is_of_this_release():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (\S+)$", text, re.MULTILINE)[1] == insideout_tf.__version__
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", text, re.MULTILINE), key


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/index.html").exists() and (tmp_path / "site/api/index.html").exists()
