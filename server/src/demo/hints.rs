//! What `serve --demo` prints: for each kind of user one command that works when pasted.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::{Demo, Kind, LoadedTenant};

/// The tenant that the commands are shown for, if it is there, and a question that its first persona may ask.
pub(super) const SHOWN: &str = "kestrel";
const QUESTION: &str = "how do I rotate the signing keys?";
const OTHER_QUESTION: &str = "what has changed lately?";
/// The address that needs no `--url`.
const USUAL_URL: &str = "http://127.0.0.1:8080";

impl Demo {
    /// For each kind of user one command that works when pasted, for the service at `base_url`.
    pub(crate) fn hints(&self, base_url: &str) -> String {
        let tenants = &self.loaded.tenants;
        let Some(shown) = tenants.iter().find(|tenant| tenant.id == SHOWN).or(tenants.first()) else {
            return "There are no demo tenants.".to_owned();
        };
        let names: Vec<String> = tenants.iter().map(|tenant| format!("{} ({})", tenant.id, tenant.name)).collect();
        let mut text =
            format!("Demo tenants: {}.\nTheir keys work on this machine's installation alone.\n", names.join(", "));
        for (who, commands) in [
            (
                format!("An application asks for a context, on behalf of the user {}:", shown.user),
                self.application(shown, base_url),
            ),
            (
                "An administrator builds the index anew, while searches go on:".to_owned(),
                self.administrator(shown, base_url),
            ),
            (
                format!("An agent of the user {} is given this MCP server, or calls it by hand:", shown.user),
                self.agent(shown, base_url),
            ),
            ("An auditor checks the record, without a key and without the service:".to_owned(), self.auditor()),
        ] {
            let _ = write!(text, "\n{who}\n\n{commands}\n");
        }
        text.push_str("\nAll keys:\n");
        for tenant in tenants {
            for kind in Kind::ALL {
                let _ = write!(text, "\n  {:<10} {:<14} {}", tenant.id, kind.as_str(), self.key(kind, tenant));
            }
        }
        text
    }

    fn key(&self, kind: Kind, tenant: &LoadedTenant) -> String {
        kind.key(&self.pepper, &tenant.id).reveal().to_owned()
    }

    fn application(&self, tenant: &LoadedTenant, base_url: &str) -> String {
        let body = json!({
            "query": question(tenant),
            "budget": {"tokens": 800, "tokenizer": "o200k_base"},
            "as": {"user": tenant.user},
        });
        let url = format!("{base_url}/v1/tenants/{}/context", tenant.id);
        curl(&url, &self.key(Kind::Application, tenant), &[], &body)
    }

    fn administrator(&self, tenant: &LoadedTenant, base_url: &str) -> String {
        let key = self.key(Kind::Administrator, tenant);
        let url = if base_url == USUAL_URL { String::new() } else { format!(" --url {base_url}") };
        format!("  CATENA_KEY={key} {} reindex --follow --tenant {}{url}", quoted(&self.program), tenant.id)
    }

    fn agent(&self, tenant: &LoadedTenant, base_url: &str) -> String {
        let key = self.key(Kind::Agent, tenant);
        let url = format!("{base_url}/mcp");
        let headers = json!({"Authorization": format!("Bearer {key}")});
        let setting = json!({"mcpServers": {"catena": {"url": url, "headers": headers}}});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_context",
            "arguments": {"query": question(tenant), "max_tokens": 800}}});
        let headers = ["accept: application/json, text/event-stream", "mcp-protocol-version: 2025-11-25"];
        format!("  {setting}\n\n{}", curl(&url, &key, &headers, &call))
    }

    fn auditor(&self) -> String {
        format!("  {} audit verify --data {}", quoted(&self.program), quoted(&self.data))
    }
}

fn question(tenant: &LoadedTenant) -> &'static str {
    if tenant.id == SHOWN { QUESTION } else { OTHER_QUESTION }
}

fn curl(url: &str, key: &str, headers: &[&str], body: &serde_json::Value) -> String {
    let more: String = headers.iter().map(|header| format!(" -H '{header}'")).collect();
    // The bodies are our own and hold no single quote.
    format!(
        "  curl -sS {url} -H 'authorization: Bearer {key}' -H 'content-type: application/json'{more} \\\n    -d '{body}'"
    )
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use catena_access::Pepper;

    use super::*;
    use crate::demo::Loaded;

    fn demo() -> Demo {
        let tenant = |id: &str, user: &str| LoadedTenant { id: id.into(), name: id.to_uppercase(), user: user.into() };
        Demo {
            loaded: Loaded { tenants: vec![tenant("harbour", "ines"), tenant("kestrel", "marit")] },
            pepper: Pepper::new([7; 32]),
            data: PathBuf::from("my data"),
            program: PathBuf::from("target/debug/catena"),
        }
    }

    #[test]
    fn the_hints_hold_a_command_for_each_kind_of_user() {
        let hints = demo().hints("http://127.0.0.1:9000");
        let application = Kind::Application.key(&Pepper::new([7; 32]), "kestrel");
        let agent = Kind::Agent.key(&Pepper::new([7; 32]), "kestrel");
        for part in [
            format!(
                "curl -sS http://127.0.0.1:9000/v1/tenants/kestrel/context -H 'authorization: Bearer {}'",
                application.reveal()
            ),
            "\"as\":{\"user\":\"marit\"}".to_owned(),
            "target/debug/catena reindex --follow --tenant kestrel --url http://127.0.0.1:9000".to_owned(),
            format!("\"Authorization\":\"Bearer {}\"", agent.reveal()),
            "target/debug/catena audit verify --data 'my data'".to_owned(),
        ] {
            assert!(hints.contains(&part), "{part} is not in\n{hints}");
        }
        let setting = hints.lines().find(|line| line.contains("mcpServers")).unwrap();
        let setting: serde_json::Value = serde_json::from_str(setting).unwrap();
        assert_eq!(setting["mcpServers"]["catena"]["url"], "http://127.0.0.1:9000/mcp");
    }
}
