//! Turns `proto/*.proto` into Rust and into one descriptor set, both in `OUT_DIR`.
//!
//! The compiler is `protox`, so no `protoc` is needed on the machine. It makes
//! messages only: this script must never generate stubs or services.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use protox::Compiler;

const DIRECTORY: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={DIRECTORY}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut files = Vec::new();
    for entry in fs::read_dir(DIRECTORY)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    files.sort();

    // For reflection: complete with imports, without our comments.
    let mut compiler = Compiler::new([DIRECTORY])?;
    compiler.include_imports(true).open_files(&files)?;
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // For code: our own files only, with our comments as documentation.
    let mut compiler = Compiler::new([DIRECTORY])?;
    compiler.include_source_info(true).open_files(&files)?;
    let mut descriptors = compiler.file_descriptor_set();
    for file in &mut descriptors.file {
        for message in &mut file.message_type {
            for field in &mut message.field {
                // prost would make `peer_ur_ls` of `peerURLs`. The number is the
                // field; its Rust name is ours to choose.
                if let Some(name) = &mut field.name {
                    *name = name.replace("URLs", "Urls");
                }
            }
        }
    }

    prost_build::Config::new().bytes(["."]).btree_map(["."]).out_dir(&out).compile_fds(descriptors)?;
    Ok(())
}
