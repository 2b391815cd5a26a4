//! A page's tables as rows of cells.

use dom_query::NodeRef;

/// Most rows or columns that one cell reaches over.
const SPAN_MAX: usize = 100;
/// Most columns of a table.
const COLUMNS_MAX: usize = 500;

/// Whether a table only arranges a page: it has other tables in it, or one column, or says so.
pub(super) fn is_layout(table: &NodeRef<'_>) -> bool {
    let says_so = table.attr("role").is_some_and(|role| matches!(&*role, "presentation" | "none"));
    let holds_tables = table.descendants_it().any(|node| node.has_name("table"));
    let holds_one = rows_of(table).iter().all(|row| cells_of(row).len() <= 1);
    says_so || holds_tables || holds_one
}

/// The table's rows. A cell that reaches over several rows or columns stands in each of them, so that each row can be
/// read alone.
pub(super) fn rows<'a>(table: &NodeRef<'a>, text_of: &mut dyn FnMut(&NodeRef<'a>) -> String) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    // What cells of earlier rows leave for later ones: for each column, its text and for how many rows more.
    let mut hanging: Vec<Option<(String, usize)>> = Vec::new();
    for row in rows_of(table) {
        let mut cells: Vec<String> = Vec::new();
        for cell in cells_of(&row) {
            take_hanging(&mut cells, &mut hanging);
            let span = |name| cell.attr(name).and_then(|span| span.parse().ok()).unwrap_or(1).clamp(1, SPAN_MAX);
            let (columns, height) = (span("colspan"), span("rowspan"));
            let text = text_of(&cell);
            for _ in 0..columns.min(COLUMNS_MAX.saturating_sub(cells.len())) {
                if hanging.len() <= cells.len() {
                    hanging.resize(cells.len() + 1, None);
                }
                if height > 1 {
                    hanging[cells.len()] = Some((text.clone(), height - 1));
                }
                cells.push(text.clone());
            }
        }
        take_hanging(&mut cells, &mut hanging);
        if !cells.is_empty() {
            rows.push(cells);
        }
    }
    rows
}

/// Fills the next columns with what hangs down into them.
fn take_hanging(cells: &mut Vec<String>, hanging: &mut [Option<(String, usize)>]) {
    while let Some(slot) = hanging.get_mut(cells.len())
        && let Some((text, left)) = slot
    {
        cells.push(text.clone());
        *left -= 1;
        if *left == 0 {
            *slot = None;
        }
    }
}

fn rows_of<'a>(table: &NodeRef<'a>) -> Vec<NodeRef<'a>> {
    let mut rows = Vec::new();
    for child in table.children_it(false) {
        match child.node_name().as_deref() {
            Some("tr") => rows.push(child),
            Some("thead" | "tbody" | "tfoot") => rows.extend(child.children_it(false).filter(|row| row.has_name("tr"))),
            _ => {}
        }
    }
    rows
}

fn cells_of<'a>(row: &NodeRef<'a>) -> Vec<NodeRef<'a>> {
    row.children_it(false).filter(|cell| cell.has_name("td") || cell.has_name("th")).collect()
}
