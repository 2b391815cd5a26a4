//! What the operator allows sources to reach.
//!
//! Promises: nothing of the service's own machine or network is reached unless it is named here. Does not: read settings.

use std::path::PathBuf;

use ipnet::IpNet;

/// What a source may reach, and where it may keep what it needs again. By default the public internet alone.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Folders that sources may read, with all that lies below them.
    pub folders: Vec<PathBuf>,
    /// Hosts that sources may reach although their addresses are private: a name, or `name:port` for one port alone.
    /// Without a port, every port of it.
    pub hosts: Vec<String>,
    /// Networks that sources may reach although they are private, at every port.
    pub networks: Vec<IpNet>,
    /// A folder for this source alone, where it keeps what it needs again: a git mirror, what is known of pages. Two
    /// sources never share one, since what one may read says nothing about the other. Losing it costs time.
    pub mirror: Option<PathBuf>,
}
