//! What the languages call the things that are sections of code.
//!
//! To add a language: one entry in [`Language`], one grammar here, a test that shows its sections.

use tree_sitter::Node;

use crate::format::Language;

/// What a node is for the outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A section.
    Section,
    /// A section that holds others.
    Container,
    /// Nothing by itself; what it holds stands as if it stood outside.
    Open,
}

/// How a section is called.
#[derive(Debug, Clone, Copy)]
enum Called {
    /// By a word and its name.
    Name(&'static str),
    /// By its text up to the field of this name.
    Before(&'static str),
}

type Kind = (&'static str, Role, Called);

pub(super) struct Grammar {
    pub(super) language: tree_sitter::Language,
    kinds: &'static [Kind],
    /// What belongs to the declaration right below it.
    leads: &'static [&'static str],
    /// What stands around a declaration.
    wrappers: &'static [&'static str],
}

const fn section(kind: &'static str, word: &'static str) -> Kind {
    (kind, Role::Section, Called::Name(word))
}

const fn container(kind: &'static str, word: &'static str) -> Kind {
    (kind, Role::Container, Called::Name(word))
}

const fn open(kind: &'static str) -> Kind {
    (kind, Role::Open, Called::Name(""))
}

const RUST: &[Kind] = &[
    section("function_item", "fn"),
    section("struct_item", "struct"),
    section("enum_item", "enum"),
    section("union_item", "union"),
    section("macro_definition", "macro_rules!"),
    container("trait_item", "trait"),
    container("mod_item", "mod"),
    ("impl_item", Role::Container, Called::Before("body")),
];

const PYTHON: &[Kind] = &[section("function_definition", "def"), container("class_definition", "class")];

const GO: &[Kind] = &[
    section("function_declaration", "func"),
    ("method_declaration", Role::Section, Called::Before("parameters")),
    section("type_declaration", "type"),
];

const JAVA: &[Kind] = &[
    container("class_declaration", "class"),
    container("interface_declaration", "interface"),
    container("enum_declaration", "enum"),
    container("record_declaration", "record"),
    section("annotation_type_declaration", "@interface"),
    section("method_declaration", "method"),
    section("constructor_declaration", "constructor"),
    open("enum_body_declarations"),
];

const SCRIPT: &[Kind] = &[
    section("function_declaration", "function"),
    section("generator_function_declaration", "function"),
    section("method_definition", "method"),
    section("interface_declaration", "interface"),
    section("type_alias_declaration", "type"),
    section("enum_declaration", "enum"),
    section("lexical_declaration", "const"),
    container("class_declaration", "class"),
    container("abstract_class_declaration", "class"),
    container("internal_module", "namespace"),
    container("module", "module"),
];

const C: &[Kind] = &[
    section("function_definition", ""),
    section("struct_specifier", "struct"),
    section("union_specifier", "union"),
    section("enum_specifier", "enum"),
    section("type_definition", "typedef"),
    open("preproc_ifdef"),
    open("preproc_if"),
    open("preproc_else"),
    open("linkage_specification"),
    open("declaration_list"),
];

/// What may be the value of a constant that is a section.
const FUNCTIONS: [&str; 4] = ["arrow_function", "function_expression", "generator_function", "class"];
/// How deep a name may be wrapped.
const NAME_DEPTH_MAX: usize = 8;

impl Grammar {
    pub(super) fn of(language: Language) -> Self {
        let (language, kinds, leads, wrappers): (tree_sitter::Language, _, &'static [_], &'static [_]) = match language
        {
            Language::Rust => {
                (tree_sitter_rust::LANGUAGE.into(), RUST, &["line_comment", "block_comment", "attribute_item"], &[])
            }
            Language::Python => (tree_sitter_python::LANGUAGE.into(), PYTHON, &["comment"], &["decorated_definition"]),
            Language::Go => (tree_sitter_go::LANGUAGE.into(), GO, &["comment"], &[]),
            Language::Java => (tree_sitter_java::LANGUAGE.into(), JAVA, &["line_comment", "block_comment"], &[]),
            Language::JavaScript => {
                (tree_sitter_javascript::LANGUAGE.into(), SCRIPT, &["comment", "decorator"], &["export_statement"])
            }
            Language::TypeScript | Language::Tsx => (
                match language {
                    Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
                    _ => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
                },
                SCRIPT,
                &["comment", "decorator"],
                &["export_statement", "ambient_declaration", "expression_statement"],
            ),
            Language::C => (tree_sitter_c::LANGUAGE.into(), C, &["comment"], &[]),
        };
        Self { language, kinds, leads, wrappers }
    }

    pub(super) fn is_lead(&self, kind: &str) -> bool {
        self.leads.contains(&kind)
    }

    pub(super) fn is_wrapper(&self, kind: &str) -> bool {
        self.wrappers.contains(&kind)
    }

    /// What a node is, if it is a section or holds some.
    pub(super) fn role(&self, node: Node<'_>) -> Option<Role> {
        let (_, role, _) = self.kinds.iter().find(|(kind, ..)| *kind == node.kind())?;
        match node.kind() {
            // A constant is a section when it is a function.
            "lexical_declaration" => {
                let value = node.named_child(0)?.child_by_field_name("value")?;
                FUNCTIONS.contains(&value.kind()).then_some(*role)
            }
            // Only named is not declared.
            "struct_specifier" | "union_specifier" | "enum_specifier" => {
                node.child_by_field_name("body").map(|_| *role)
            }
            _ => Some(*role),
        }
    }

    /// What a section is called.
    pub(super) fn label(&self, node: Node<'_>, text: &str) -> String {
        let called = self.kinds.iter().find(|(kind, ..)| *kind == node.kind()).map(|(_, _, called)| *called);
        match called {
            Some(Called::Before(field)) => {
                let end = node.child_by_field_name(field).map_or(node.end_byte(), |field| field.start_byte());
                text.get(node.start_byte()..end).unwrap_or_default().trim().to_owned()
            }
            Some(Called::Name(word)) => {
                let name = name_of(node).and_then(|name| text.get(name.start_byte()..name.end_byte()));
                format!("{word} {}", name.unwrap_or_default()).trim().to_owned()
            }
            None => String::new(),
        }
    }
}

/// The node of a declaration's name, which may stand inside of its declarator or of what it declares.
fn name_of(node: Node<'_>) -> Option<Node<'_>> {
    let mut node = node;
    for _ in 0..NAME_DEPTH_MAX {
        if let Some(name) = node.child_by_field_name("name") {
            return Some(name);
        }
        match node.child_by_field_name("declarator") {
            Some(declarator) => node = declarator,
            None if node.named_child_count() == 0 || node.kind().ends_with("identifier") => return Some(node),
            None => node = node.named_child(0)?,
        }
    }
    None
}
