//! Compiles our .proto files, where a feature asks for them, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[cfg(any(feature = "admin", feature = "household"))]
    {
        let mut files = Vec::new();
        if cfg!(feature = "admin") {
            files.push("genii/admin/v1/admin.proto");
        }
        if cfg!(feature = "household") {
            files.push("genii/household/v1/household.proto");
        }
        tonic_prost_build::configure().compile_fds(protox::compile(files, ["proto"])?)?;
    }
    Ok(())
}
