//! Formulas of Office files, written as LaTeX is.
//!
//! Promises: every sign of the formula is there, in the order in which it is read. Does not: set what it does not know
//! in any way: it writes its parts one after the other.

use crate::xml::Element;

/// A formula without the marks around it.
pub(crate) fn latex(math: &Element) -> String {
    let mut text = String::new();
    for child in math.children() {
        let piece = piece(child);
        // A command's name must not run into a letter that follows it.
        if text.chars().next_back().is_some_and(char::is_alphabetic)
            && piece.starts_with(char::is_alphabetic)
            && text.rfind('\\').is_some_and(|at| text[at + 1..].chars().all(char::is_alphabetic))
        {
            text.push(' ');
        }
        text.push_str(&piece);
    }
    text
}

fn piece(element: &Element) -> String {
    let part = |name: &str| element.child(name).map(latex).unwrap_or_default();
    let property = |name: &str| {
        element
            .children()
            .find(|child| child.name.ends_with("Pr"))
            .and_then(|own| own.value_of(name))
            .map(str::to_owned)
    };
    match element.name.as_str() {
        "m:r" => element.children().filter(|child| child.name == "m:t").map(|text| symbols(&text.text())).collect(),
        "m:f" => format!("\\frac{{{}}}{{{}}}", part("m:num"), part("m:den")),
        "m:sSup" => format!("{}^{{{}}}", part("m:e"), part("m:sup")),
        "m:sSub" => format!("{}_{{{}}}", part("m:e"), part("m:sub")),
        "m:sSubSup" => format!("{}_{{{}}}^{{{}}}", part("m:e"), part("m:sub"), part("m:sup")),
        "m:rad" => match part("m:deg") {
            degree if degree.is_empty() => format!("\\sqrt{{{}}}", part("m:e")),
            degree => format!("\\sqrt[{degree}]{{{}}}", part("m:e")),
        },
        "m:nary" => {
            let sign = property("m:chr").map_or_else(|| "\\int".to_owned(), |sign| symbols(&sign));
            let bound = |mark, text: String| if text.is_empty() { text } else { format!("{mark}{{{text}}}") };
            format!("{}{}{}{}", sign.trim_end(), bound("_", part("m:sub")), bound("^", part("m:sup")), part("m:e"))
        }
        "m:d" => {
            let (open, close) = (property("m:begChr"), property("m:endChr"));
            let inner: Vec<String> = element.children().filter(|child| child.name == "m:e").map(latex).collect();
            format!("{}{}{}", open.as_deref().unwrap_or("("), inner.join(","), close.as_deref().unwrap_or(")"))
        }
        "m:func" => format!("\\{}({})", part("m:fName").trim_start_matches('\\'), part("m:e")),
        "m:limLow" => format!("{}_{{{}}}", part("m:e"), part("m:lim")),
        "m:limUpp" => format!("{}^{{{}}}", part("m:e"), part("m:lim")),
        "m:m" => {
            let row = |row: &Element| {
                row.children().filter(|cell| cell.name == "m:e").map(latex).collect::<Vec<_>>().join(" & ")
            };
            element.children().filter(|row| row.name == "m:mr").map(row).collect::<Vec<_>>().join(" \\\\ ")
        }
        "m:eqArr" => {
            element.children().filter(|child| child.name == "m:e").map(latex).collect::<Vec<_>>().join(" \\\\ ")
        }
        name if name.ends_with("Pr") => String::new(),
        "w:del" => String::new(),
        _ => latex(element),
    }
}

/// Signs as the commands by which they are looked for.
fn symbols(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match COMMANDS.iter().find(|(sign, _)| *sign == c) {
            Some((_, command)) => {
                out.push_str(command);
                out.push(' ');
            }
            None => out.push(c),
        }
    }
    out
}

const COMMANDS: [(char, &str); 38] = [
    ('∑', "\\sum"),
    ('∏', "\\prod"),
    ('∫', "\\int"),
    ('∞', "\\infty"),
    ('±', "\\pm"),
    ('×', "\\times"),
    ('÷', "\\div"),
    ('≤', "\\leq"),
    ('≥', "\\geq"),
    ('≠', "\\neq"),
    ('≈', "\\approx"),
    ('→', "\\rightarrow"),
    ('∂', "\\partial"),
    ('∇', "\\nabla"),
    ('∈', "\\in"),
    ('⋅', "\\cdot"),
    ('…', "\\ldots"),
    ('α', "\\alpha"),
    ('β', "\\beta"),
    ('γ', "\\gamma"),
    ('δ', "\\delta"),
    ('ε', "\\epsilon"),
    ('θ', "\\theta"),
    ('λ', "\\lambda"),
    ('μ', "\\mu"),
    ('π', "\\pi"),
    ('ρ', "\\rho"),
    ('σ', "\\sigma"),
    ('τ', "\\tau"),
    ('φ', "\\phi"),
    ('χ', "\\chi"),
    ('ψ', "\\psi"),
    ('ω', "\\omega"),
    ('Δ', "\\Delta"),
    ('Σ', "\\Sigma"),
    ('Φ', "\\Phi"),
    ('Ω', "\\Omega"),
    ('∀', "\\forall"),
];
