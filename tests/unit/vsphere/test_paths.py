"""Paths of virtual disks: what is read, what is refused, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsphere.errors import VsphereError
from vsphere.paths import UNSAFE, VmdkPath, parse_vmdk, refuse_unsafe


@pytest.mark.parametrize(
    ("text", "datastore", "file"),
    [
        ("[ds] vm/disk.vmdk", "ds", "vm/disk.vmdk"),
        ("[ds one] vm a/disk 1.vmdk", "ds one", "vm a/disk 1.vmdk"),
        ("[ds] a/b/c/disk.vmdk", "ds", "a/b/c/disk.vmdk"),
        ("[ds] disk.vmdk", "ds", "disk.vmdk"),
        ("[ds [1]] vm [x] y/disk.vmdk", "ds [1]", "vm [x] y/disk.vmdk"),
        ("[a [b] c] vm/disk.vmdk", "a [b] c", "vm/disk.vmdk"),
        ("[a]b] vm/disk.vmdk", "a]b", "vm/disk.vmdk"),
        ("[a[b] vm/disk.vmdk", "a[b", "vm/disk.vmdk"),
        ("[dß<&>] Ünï/диск.vmdk", "dß<&>", "Ünï/диск.vmdk"),
        ('[ds] it\'s "x"/disk.vmdk', "ds", 'it\'s "x"/disk.vmdk'),
    ],
)
def test_reads_datastore_and_file(text: str, datastore: str, file: str) -> None:
    path = parse_vmdk(text)
    assert path == VmdkPath(datastore, file)
    assert str(path) == text
    assert path.host_path == f"/vmfs/volumes/{datastore}/{file}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vm/disk.vmdk",
        "[ds]vm/disk.vmdk",
        "[ds vm/disk.vmdk",
        "[] vm/disk.vmdk",
        "[ ] vm/disk.vmdk",
        "[ds] ",
        "[ds] vm/disk",
        "[ds] vm/disk.vmdk/",
        "[ds] vm//disk.vmdk",
        "[ds] /vm/disk.vmdk",
        "[ds] ../other/disk.vmdk",
        "[ds] vm/./disk.vmdk",
        "[ds] vm/.vmdk",
        "[a/b] vm/disk.vmdk",
        "/vmfs/volumes/ds/vm/disk.vmdk",
    ],
)
def test_refuses_what_is_no_path_of_a_disk(text: str) -> None:
    with pytest.raises(VsphereError, match="is not the path of a virtual disk") as caught:
        parse_vmdk(text)
    assert "[datastore] folder/disk.vmdk" in caught.value.hint


@pytest.mark.parametrize("character", sorted(UNSAFE))
@pytest.mark.parametrize("form", ["[d{}s] vm/disk.vmdk", "[ds] v{}m/disk.vmdk", "[ds] vm/di{}sk.vmdk"])
def test_names_the_character_that_the_host_cannot_be_told(character: str, form: str) -> None:
    with pytest.raises(VsphereError) as caught:
        refuse_unsafe(parse_vmdk(form.format(character)))
    assert UNSAFE[character] in caught.value.text


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\ud800"])
def test_names_control_characters_by_number(character: str) -> None:
    with pytest.raises(VsphereError, match=f"U\\+{ord(character):04X}") as caught:
        refuse_unsafe(VmdkPath("ds", f"v{character}m/disk.vmdk"))
    assert character not in caught.value.text


def test_refuses_two_dots_which_the_stock_script_refuses() -> None:
    with pytest.raises(VsphereError, match="two dots"):
        refuse_unsafe(parse_vmdk("[ds] vm..1/disk.vmdk"))


@pytest.mark.parametrize(
    "name", ["a b", "a[1]", "a&b", "<a>", "größe", "日本", "a,b", "(x)", "a#!%^*?~{}|=+@:"]
)
def test_lets_pass_what_is_safe_in_single_quotes(name: str) -> None:
    refuse_unsafe(parse_vmdk(f"[{name}] {name}/{name}.vmdk"))


NAMES = st.text(st.characters(exclude_characters="/[]", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name.strip() and name not in {".", ".."} and not name.startswith(" ")
)


@given(datastore=NAMES, folders=st.lists(NAMES, max_size=4), name=NAMES)
def test_what_is_spelled_is_read_back(datastore: str, folders: list[str], name: str) -> None:
    path = VmdkPath(datastore, "/".join([*folders, f"{name}.vmdk"]))
    assert parse_vmdk(str(path)) == path


@given(text=st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        path = parse_vmdk(text)
        refuse_unsafe(path)
    except VsphereError:
        return
    assert not set(path.host_path) & {*UNSAFE, "\n", "\0"}
    assert ".." not in path.host_path
