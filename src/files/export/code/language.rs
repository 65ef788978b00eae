//! The differences between C and Rust: literals, tables, calls.

use std::collections::HashSet;
use std::fmt::Write;

/// A language that source is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// C99.
    C,
    /// Rust, edition 2021 and later.
    Rust,
}

/// An argument of a call.
#[derive(Debug, Clone)]
pub enum Arg<'a> {
    /// A part of an array that is written: name, first, length.
    Out(&'a str, usize, usize),
    /// A whole array of this length that is read.
    In(&'a str, usize),
    /// A table of constants: its name; its length is known.
    Table(&'a str),
    /// A table whose length is passed in C.
    Counted(&'a str, usize),
    /// A length that is passed only in C.
    Length(usize),
    /// A number.
    Double(f64),
    /// A whole number.
    Int(usize),
    /// A boolean.
    Bool(bool),
    /// The value of a column.
    Field(&'a str),
    /// An element of an array.
    Element(&'a str, usize),
    /// Another call.
    Call(String),
}

/// The contents of a table.
#[derive(Debug, Clone, Copy)]
pub enum Table<'a> {
    /// f32.
    Floats(&'a [f32]),
    /// f64.
    Doubles(&'a [f64]),
    /// Whole numbers from 0 on.
    Ints(&'a [u32]),
    /// Texts.
    Texts(&'a [&'a str]),
}

impl Language {
    /// The functions that a program may need, each after a line `//@ name`.
    fn functions(self) -> &'static str {
        match self {
            Language::C => include_str!("runtime.c"),
            Language::Rust => include_str!("runtime.rs.txt"),
        }
    }

    /// The functions that `text` calls and those that these call, in the order of their definitions.
    pub fn called(self, text: &str) -> String {
        let chunks: Vec<(&str, &str)> = self
            .functions()
            .split("//@ ")
            .filter_map(|chunk| chunk.split_once('\n'))
            .map(|(name, text)| (name.trim(), text))
            .collect();
        let mut texts = vec![text];
        let mut needed: HashSet<&str> = HashSet::new();
        while let Some(text) = texts.pop() {
            for (name, body) in &chunks {
                if calls(text, name) && needed.insert(name) {
                    texts.push(body);
                }
            }
        }
        let needed = chunks.iter().filter(|(name, _)| needed.contains(name));
        needed.flat_map(|(_, body)| [*body, "\n"]).collect()
    }

    /// A table of constants.
    pub fn table(self, name: &str, table: Table) -> String {
        let (c, rust, items): (&str, &str, Vec<String>) = match table {
            Table::Floats(all) => ("float", "f32", all.iter().map(|x| self.float(*x)).collect()),
            Table::Doubles(all) => ("double", "f64", all.iter().map(|x| double(*x)).collect()),
            Table::Ints(all) => ("unsigned int", "u32", all.iter().map(u32::to_string).collect()),
            Table::Texts(all) => {
                ("char *const", "&str", all.iter().map(|text| self.text(text)).collect())
            }
        };
        let (count, lines) = (items.len(), lines(&items));
        match self {
            Language::C => format!("static const {c} {name}[{count}] = {{\n{lines}}};\n"),
            Language::Rust => format!("static {name}: [{rust}; {count}] = [\n{lines}];\n"),
        }
    }

    /// A call.
    pub fn call(self, function: &str, args: &[Arg]) -> String {
        let args: Vec<String> = args.iter().filter_map(|arg| self.arg(arg)).collect();
        format!("{function}({})", args.join(", "))
    }

    fn arg(self, arg: &Arg) -> Option<String> {
        let is_c = self == Language::C;
        Some(match *arg {
            Arg::Out(name, first, count) => match (is_c, first) {
                (true, 0) => name.to_string(),
                (true, first) => format!("{name} + {first}"),
                (false, first) => format!("&mut {name}[{first}..{}]", first + count),
            },
            Arg::In(name, count) if is_c => format!("{name}, {count}"),
            Arg::In(name, count) => format!("&{name}[..{count}]"),
            Arg::Table(name) if is_c => name.to_string(),
            Arg::Table(name) => format!("&{name}"),
            Arg::Counted(name, count) if is_c => format!("{name}, {count}"),
            Arg::Counted(name, _) => format!("&{name}"),
            Arg::Length(count) => return is_c.then(|| count.to_string()),
            Arg::Double(x) => double(x),
            Arg::Int(i) => i.to_string(),
            Arg::Bool(b) if is_c => u8::from(b).to_string(),
            Arg::Bool(b) => b.to_string(),
            Arg::Field(name) if is_c => format!("row->{name}"),
            Arg::Field(name) => format!("row.{name}"),
            Arg::Element(name, i) => format!("{name}[{i}]"),
            Arg::Call(ref call) => call.clone(),
        })
    }

    fn float(self, x: f32) -> String {
        match self {
            Language::C if x.is_nan() => "NAN".into(),
            Language::C if x.is_infinite() => if x > 0.0 { "INFINITY" } else { "-INFINITY" }.into(),
            Language::C => format!("{x:?}f"),
            Language::Rust if x.is_nan() => "f32::NAN".into(),
            Language::Rust if x.is_infinite() => {
                if x > 0.0 { "f32::INFINITY" } else { "f32::NEG_INFINITY" }.into()
            }
            Language::Rust => format!("{x:?}"),
        }
    }

    /// A text as a literal: in C all but plain characters as octal escapes.
    pub fn text(self, text: &str) -> String {
        match self {
            Language::Rust => format!("{text:?}"),
            Language::C => {
                let mut literal = String::from("\"");
                for byte in text.bytes() {
                    match byte {
                        // A question mark may begin a trigraph.
                        b'"' | b'\\' | b'?' => drop(write!(literal, "\\{}", char::from(byte))),
                        b' '..=b'~' => literal.push(byte.into()),
                        _ => drop(write!(literal, "\\{byte:03o}")),
                    }
                }
                literal + "\""
            }
        }
    }

    /// A name that the language allows, from any text, none of `taken`.
    pub fn identifier(self, text: &str, taken: &mut HashSet<String>) -> String {
        let mut name = String::new();
        for c in text.chars() {
            let is_plain = c.is_ascii_alphanumeric();
            let begins_word =
                c.is_ascii_uppercase() && name.ends_with(|last: char| last.is_ascii_lowercase());
            if begins_word || !is_plain && !name.is_empty() && !name.ends_with('_') {
                name.push('_');
            }
            if is_plain {
                name.push(c.to_ascii_lowercase());
            }
        }
        let name = name.trim_end_matches('_');
        let name = match name.chars().next() {
            None => "column".to_string(),
            Some(first) if first.is_ascii_digit() => format!("column_{name}"),
            Some(_) if KEYWORDS.contains(&name) => format!("{name}_"),
            Some(_) => name.to_string(),
        };
        let mut unique = name.clone();
        for n in 2.. {
            if taken.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}_{n}");
        }
        unique
    }
}

/// Reserved words of C, C++ and Rust, and lower-case macros of the headers.
const KEYWORDS: &[&str] = &[
    "abstract",
    "alignas",
    "alignof",
    "and",
    "as",
    "asm",
    "async",
    "auto",
    "await",
    "become",
    "bool",
    "box",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "complex",
    "concept",
    "const",
    "constexpr",
    "continue",
    "crate",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dyn",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "final",
    "float",
    "fn",
    "for",
    "friend",
    "gen",
    "goto",
    "if",
    "imaginary",
    "impl",
    "in",
    "inline",
    "int",
    "let",
    "linux",
    "long",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "nullptr",
    "operator",
    "or",
    "override",
    "priv",
    "private",
    "protected",
    "pub",
    "public",
    "ref",
    "register",
    "requires",
    "restrict",
    "return",
    "self",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "super",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "trait",
    "true",
    "try",
    "type",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unix",
    "unsafe",
    "unsigned",
    "unsized",
    "use",
    "using",
    "virtual",
    "void",
    "volatile",
    "where",
    "while",
];

fn double(x: f64) -> String {
    format!("{x:?}")
}

/// Whether a text calls a function of that name.
fn calls(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    text.match_indices(&call).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.')
    })
}

/// Items with commas, in lines of about 100 characters.
fn lines(items: &[String]) -> String {
    let mut text = String::new();
    let mut line = String::from("   ");
    for item in items {
        if line.len() + item.len() > 100 {
            text.push_str(&line);
            text.push('\n');
            line.truncate(3);
        }
        line.push(' ');
        line.push_str(item);
        line.push(',');
    }
    text + &line + "\n"
}
