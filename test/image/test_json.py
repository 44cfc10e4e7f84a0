# SPDX-License-Identifier: Apache-2.0
"""Answers in the Docker API's forms, member by member."""
import json

import pytest

from image import archives
from image.archives import config_of, docker_save, entry, tar

BASE = tar(entry("base", data=b"b" * 1000))
TOP = tar(entry("top", data=b"t" * 234))
MORE = {"created": "2020-01-02T03:04:05Z",
        "config": {"Cmd": ["/sh"], "Labels": {"a": "1", "b": "2"}, "Env": None},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"},
                    {"created": "2020-01-01T00:00:01Z", "created_by": "ENV", "empty_layer": True},
                    {"created": "2020-01-02T03:04:05Z", "created_by": "top", "comment": "last"}]}


@pytest.fixture
def two(store, tmp_path):
    """one:1 = one:2 with two layers; other:1 with the base alone."""
    (tmp_path / "a.tar").write_bytes(
        docker_save([BASE, TOP], config_of([BASE, TOP], **MORE), tags=("one:1", "one:2")))
    (tmp_path / "b.tar").write_bytes(docker_save([BASE], tags=("h.example:5000/other:1",)))
    store.load(tmp_path / "a.tar")
    store.load(tmp_path / "b.tar")
    return store


def ask(store, *args, fails=None):
    r = store.run("image-json", *args, check=not fails)
    if fails:
        assert r.returncode != 0 and fails in r.stderr, r.stderr
        return None
    return json.loads(r.stdout)


def test_list(two):
    one, other = ask(two, "list")
    assert one["RepoTags"] == ["one:1", "one:2"] and len(one["RepoDigests"]) == 1
    assert one["RepoDigests"][0].startswith("one@sha256:")
    assert (one["Size"], one["SharedSize"], one["Containers"]) == (1234, 1000, 0)
    assert (other["Size"], other["SharedSize"]) == (1000, 1000)
    assert one["Created"] == 1577934245 and one["Labels"] == {"a": "1", "b": "2"}
    assert other["RepoTags"] == ["h.example:5000/other:1"] and other["Labels"] == {}


@pytest.mark.parametrize("filters, names", [
    ({"reference": ["one"]}, ["one:1", "one:2"]),
    ({"reference": ["*:2", "h*/oth*"]}, ["one:2", "h.example:5000/other:1"]),
    ({"reference": {"docker.io/library/one:1": True}}, ["one:1"]),
    ({"label": ["a", "b=2"]}, ["one:1", "one:2"]),
    ({"label": ["a", "b=3"]}, []),
    ({"label!": ["a"]}, ["h.example:5000/other:1"]),
    ({"dangling": ["true"]}, []),
    ({"since": ["h.example:5000/other:1"]}, ["one:1", "one:2"]),
    ({"before": ["one:1"]}, ["h.example:5000/other:1"]),
    ({"until": ["2019-12-01T00:00:00Z"]}, ["h.example:5000/other:1"]),
    ({"until": ["24h"], "label": ["a"]}, ["one:1", "one:2"]),
], ids=str)
def test_filters(two, filters, names):
    assert [n for i in ask(two, "list", json.dumps(filters)) for n in i["RepoTags"]] == names


@pytest.mark.parametrize("filters, words", [
    ('{"colour":["red"]}', "invalid filter 'colour'"), ("[]", "not an object"), ("{", "filters"),
    ('{"until":["soon"]}', "neither a time nor a duration"),
    ('{"since":["nosuch"]}', "No such image: nosuch:latest")])
def test_bad_filters(two, filters, words):
    ask(two, "list", filters, fails=words)


def test_inspect(two):
    one = ask(two, "inspect", "one:2")
    assert one["Id"] == archives.digest(config_of([BASE, TOP], **MORE))
    assert one["RootFS"] == {"Type": "layers", "Layers": [archives.digest(x) for x in (BASE, TOP)]}
    assert one["Config"] == {"Cmd": ["/sh"], "Labels": {"a": "1", "b": "2"}}
    assert one["Comment"] == "last" and one["Created"] == "2020-01-02T03:04:05Z"
    assert one["Architecture"] == "amd64" and one["Os"] == "linux" and one["Size"] == 1234
    assert one["Descriptor"]["digest"] == one["RepoDigests"][0].split("@")[1]
    assert one["GraphDriver"]["Data"]["UpperDir"].endswith("/fs")
    ask(two, "inspect", "nosuch", fails="No such image: nosuch:latest")


def test_history(two):
    steps = ask(two, "history", "one:1")
    assert [(s["CreatedBy"], s["Size"]) for s in steps] == [("top", 234), ("ENV", 0), ("base", 1000)]
    assert steps[0]["Tags"] == ["one:1", "one:2"] and steps[0]["Id"].startswith("sha256:")
    assert steps[1]["Tags"] is None and steps[1]["Id"] == "<missing>"


def test_remove(two):
    name = ask(two, "inspect", "one:1")["Id"]
    assert ask(two, "remove", "one:1") == [{"Untagged": "one:1"}]
    assert ask(two, "remove", "one:2") == [{"Untagged": "one:2"}, {"Deleted": name}]
    ask(two, "remove", "one:2", fails="No such image: one:2")


def test_an_id_in_two_repositories_stays(store, tmp_path):
    (tmp_path / "a.tar").write_bytes(docker_save([BASE], tags=("one:1", "two:1")))
    name = store.load(tmp_path / "a.tar").stdout.split()[0][7:]
    ask(store, "remove", name, fails="conflict: unable to delete " + name[:12] + " (must be forced)"
        " - image is referenced in multiple repositories")


def test_prune_and_df(two):
    df = ask(two, "df")
    assert df["LayersSize"] == 1234 and [i["SharedSize"] for i in df["Images"]] == [1000, 1000]
    assert ask(two, "prune") == {"ImagesDeleted": [], "SpaceReclaimed": 0}
    gone = ask(two, "prune", '{"dangling":["false"],"label":["a"]}')
    assert [i.get("Untagged") for i in gone["ImagesDeleted"]] == ["one:1", "one:2", None]
    assert gone["SpaceReclaimed"] >= 234
    assert len(ask(two, "list")) == 1
