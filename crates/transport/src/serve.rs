//! A static web server for one repository.
use sapwood_fsio::Dir;
use std::net::SocketAddr;
use std::sync::Arc;

/// One answered request.
#[derive(Debug, Clone)]
pub struct Access {
    /** Who asked. */
    pub peer: SocketAddr,
    /** The method. */
    pub method: String,
    /** The path asked for, as it came. */
    pub path: String,
    /** The status. */
    pub status: u16,
    /** Size of the body in bytes. */
    pub body_bytes: u64,
}

/// How a repository is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// Connections at once; more wait. Default: 1024.
    pub max_connections: usize,
    /// Called for each request when its answer begins.
    pub on_access: Option<Arc<dyn Fn(&Access) + Send + Sync>>,
}
impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}
impl Default for ServeOptions {
    fn default() -> Self {
        Self { max_connections: 1024, on_access: None }
    }
}

/// Serves the repository in `dir` until `shutdown` resolves, then lets requests under way finish (for at most 10 s).
pub async fn serve(
    dir: Dir,
    listener: tokio::net::TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    todo!()
}
