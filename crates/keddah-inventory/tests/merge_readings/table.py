"""Writes table.tsv anew: what two versions of PyYAML merge, for each key of each mapping with `<<`.

    python3 table.py FOLDER-WITH-6.0.3 FOLDER-WITH-6.0.4 > table.tsv

The folders are made by `pip install --no-deps --target FOLDER pyyaml==VERSION`. No test runs this.
"""

import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ["inventories/merge.yml", "merge_readings/cases.yml"]


def mappings(node, found, seen):
    """All mappings of a document that have a merge key, each with the line of its first one."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.id == "sequence":
        for item in node.value:
            mappings(item, found, seen)
    elif node.id == "mapping":
        merges = [key for key, _ in node.value if key.tag == "tag:yaml.org,2002:merge"]
        if merges:
            found.append((merges[0].start_mark.line + 1, node))
        for key, value in node.value:
            mappings(key, found, seen)
            mappings(value, found, seen)


def read(path, loader_class):
    with open(path, encoding="utf-8") as stream:
        loader = loader_class(stream)
        found = []
        mappings(loader.get_single_node(), found, set())
        rows = []
        for line, node in found:
            loader.flatten_mapping(node)
            places, values = {}, {}
            for key_node, value_node in node.value:
                key = loader.construct_object(key_node, deep=True)
                # The key's own mark is its anchor's where it is an alias.
                places[key] = value_node.start_mark.line + 1
                values[key] = loader.construct_object(value_node, deep=True)
            for key, value in values.items():
                rows.append((line, str(key), places[key], json.dumps(value, ensure_ascii=False)))
        return rows


def child(version):
    import yaml

    assert yaml.__version__ == version, yaml.__version__
    answers = {}
    for name in FILES:
        path = os.path.join(HERE, "..", name)
        answers[name] = read(path, yaml.SafeLoader)
        # Ansible takes the loader written in C where there is one; both must agree.
        assert read(path, yaml.CSafeLoader) == answers[name], name
    json.dump(answers, sys.stdout)


def main(folders):
    answers = []
    for folder, version in zip(folders, ["6.0.3", "6.0.4"]):
        command = [sys.executable, __file__, "--child", version]
        output = subprocess.check_output(command, env={"PYTHONPATH": folder, "PYTHONUTF8": "1"})
        answers.append(json.loads(output))
    print("file\tmerge\tkey\tline by 6.0.3\tvalue\tline by 6.0.4\tvalue")
    for name in FILES:
        first, second = ({(row[0], row[1]): row[2:] for row in answer[name]} for answer in answers)
        for at, key in sorted(first.keys() | second.keys()):
            places = [str(cell) for answer in (first, second) for cell in answer.get((at, key), ("-", "-"))]
            print("\t".join([name, str(at), key, *places]))


if sys.argv[1] == "--child":
    child(sys.argv[2])
else:
    main(sys.argv[1:])
