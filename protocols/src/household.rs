//! How another machine comes to belong to a household; made from `household.proto`.

#![allow(missing_docs)]

tonic::include_proto!("genii.household.v1");
