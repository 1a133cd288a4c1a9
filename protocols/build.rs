//! Compiles our .proto files, where a feature asks for them, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[cfg(feature = "admin")]
    {
        let files = protox::compile(["genii/admin/v1/admin.proto"], ["proto"])?;
        tonic_prost_build::configure().compile_fds(files)?;
    }
    Ok(())
}
