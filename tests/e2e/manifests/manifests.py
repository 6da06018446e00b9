"""Reads Kubernetes manifests and checks them against the schemas that their projects publish.

manifests.py read FILE...         prints all objects as one JSON list
manifests.py check FOLDER FILE... prints a line for each fault; FOLDER has CustomResourceDefinitions
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# Below these a schema is partial: it may not say which members there are.
PARTIAL = ("allOf", "anyOf", "oneOf", "not")


def objects(files):
    for file in files:
        with open(file, encoding="utf-8") as text:
            yield from ((file, found) for found in yaml.safe_load_all(text) if found is not None)


def strict(schema):
    """As the API server takes it with strict field validation: no field that is not declared."""
    schema = {name: value if name in PARTIAL else inner(name, value) for name, value in schema.items()}
    if schema.pop("nullable", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    is_open = schema.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema and "additionalProperties" not in schema and not is_open:
        schema["additionalProperties"] = False
    return schema


def inner(name, value):
    if name == "properties":
        return {member: strict(schema) for member, schema in value.items()}
    if name in ("items", "additionalProperties") and isinstance(value, dict):
        return strict(value)
    return value


def definitions(folder):
    schemas = {}
    for _, definition in objects(sorted(pathlib.Path(folder).glob("*.yaml"))):
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = dict(version["schema"]["openAPIV3Schema"])
            head = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            schema["properties"] = {**schema["properties"], **head}
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = strict(schema)
    return schemas


def faults(schemas, found):
    schema = schemas.get((found["apiVersion"], found["kind"]))
    if schema is not None:
        for error in jsonschema.Draft7Validator(schema).iter_errors(found):
            yield f"{error.json_path}: {error.message}"
        return
    try:
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{list(error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"there is no schema of {found['apiVersion']}"


def main(verb, *arguments):
    if verb == "read":
        json.dump([found for _, found in objects(arguments)], sys.stdout)
        return
    folder, *files = arguments
    schemas = definitions(folder)
    for file, found in objects(files):
        for fault in faults(schemas, found):
            print(f"{file}: {found['kind']} {found['metadata']['name']}: {fault}")


main(*sys.argv[1:])
