//! How the shell, the REPL and scripts speak to a running genii; made from `admin.proto`.

#![allow(missing_docs)]

tonic::include_proto!("genii.admin.v1");
