//! Serves a repository: `serve DIR PORT`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for people")]

use cap_std::{ambient_authority, fs::Dir};
use sapwood_transport::{ServeOptions, serve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, port] = args.as_slice() else { return Err("usage: serve DIR PORT".into()) };
    let dir = Dir::open_ambient_dir(dir, ambient_authority())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
        println!("http://{}", listener.local_addr()?);
        serve(dir, listener, ServeOptions::default(), std::future::pending()).await;
        Ok(())
    })
}
