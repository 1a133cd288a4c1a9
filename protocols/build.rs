//! Compiles our .proto files, where a feature asks for them, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[cfg(feature = "grpc")]
    {
        compile(cfg!(feature = "admin"), "genii/admin/v1/admin.proto")?;
        compile(cfg!(feature = "household"), "genii/household/v1/household.proto")?;
        compile(cfg!(feature = "api"), "genii/v1/genii.proto")?;
    }
    Ok(())
}

/// Makes Rust of one file, and beside it what it tells of itself to tools that know nothing of it.
#[cfg(feature = "grpc")]
fn compile(is_wanted: bool, file: &str) -> Result<(), Box<dyn std::error::Error>> {
    use protox::prost::Message;

    if !is_wanted {
        return Ok(());
    }
    let described = protox::compile([file], ["proto"])?;
    let name = file.rsplit('/').next().unwrap_or(file).replace(".proto", ".bin");
    let path = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join(name);
    std::fs::write(path, described.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(described)?;
    Ok(())
}
