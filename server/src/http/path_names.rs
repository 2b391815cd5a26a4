//! The names in paths, described: each `{name}` of a path is a parameter that must be given.
//!
//! Does not: describe what stands behind the question mark; that the routes do themselves.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, RefOr, Required};

/// Describes the names of every path, in every operation.
pub(crate) fn describe(api: &mut OpenApi) {
    for (path, item) in &mut api.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.options,
            &mut item.head,
            &mut item.patch,
            &mut item.trace,
        ];
        for operation in operations.into_iter().flatten() {
            describe_in(operation, path);
        }
    }
}

fn describe_in(operation: &mut Operation, path: &str) {
    let known = operation.parameters.take().unwrap_or_default();
    let all: Vec<RefOr<Parameter>> = names(path).map(|name| parameter(name).into()).chain(known).collect();
    operation.parameters = (!all.is_empty()).then_some(all);
}

/// The names in a path, as they stand between braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

fn parameter(name: &str) -> Parameter {
    let what = match name {
        "tenant" => "The tenant's id.",
        "document" => "The document's id; a slash in it is written `%2F`.",
        "version" => "The version's number.",
        "group" => "The group's name.",
        "key" => "The key's id, which is not its text.",
        "job" => "The job's id.",
        "source" => "The source's name.",
        "context" => "The context's id.",
        _ => "",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description((!what.is_empty()).then_some(what))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::http::routes_and_description;

    #[test]
    fn every_name_in_a_path_is_declared_and_described() {
        let api = serde_json::to_value(routes_and_description().1).unwrap();
        let mut seen = BTreeSet::new();
        for (path, item) in api["paths"].as_object().unwrap() {
            let wanted: Vec<&str> = super::names(path).collect();
            for (method, operation) in item.as_object().unwrap() {
                let none = Vec::new();
                let all = operation["parameters"].as_array().unwrap_or(&none);
                let declared = all.iter().filter(|it| it["in"] == "path");
                let declared: Vec<&str> = declared
                    .map(|it| {
                        assert!(it["required"] == true && it["schema"]["type"] == "string", "{method} {path}: {it}");
                        assert!(it["description"].is_string(), "{method} {path} does not say what {} is", it["name"]);
                        it["name"].as_str().unwrap()
                    })
                    .collect();
                assert_eq!(declared, wanted, "{method} {path}");
                seen.extend(wanted.iter().copied());
            }
        }
        assert!(seen.len() >= 8, "only {seen:?} are names in paths");
    }
}
