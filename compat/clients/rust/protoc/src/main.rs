//! As much of `protoc` as the build script of etcd-client asks for, so that no
//! system package is needed: reads .proto files, writes their descriptors.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut files, mut includes, mut output) = (Vec::new(), Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-I" => includes.push(arguments.next().ok_or("-I wants a folder")?),
            "-o" => output = Some(PathBuf::from(arguments.next().ok_or("-o wants a file")?)),
            "--include_imports" | "--include_source_info" => {}
            flag if flag.starts_with('-') => return Err(format!("not known here: {flag}").into()),
            file => files.push(file.to_owned()),
        }
    }
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    std::fs::write(output.ok_or("-o is missing")?, compiler.encode_file_descriptor_set())?;
    Ok(())
}
