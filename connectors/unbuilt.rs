//! Holds a vendor's place until its folder is filled; goes when the last one is.

use async_trait::async_trait;
use serde_json::Value;

use crate::{CollectionSpec, Connector, Fault, Identity, Meter, Pace, Shape};

pub enum Unbuilt {}

#[async_trait]
impl Connector for Unbuilt {
    fn collections(&self) -> Vec<CollectionSpec> {
        match *self {}
    }
    fn pace(&self) -> Pace {
        match *self {}
    }
    fn meter(&self) -> Meter {
        match *self {}
    }
    fn wait(&self) -> Option<std::time::Duration> {
        match *self {}
    }
    async fn probe(&self) -> Result<Identity, Fault> {
        match *self {}
    }
    async fn attach(&self, _: &Shape, _: Option<&str>, _: Option<&Value>) -> Result<Value, Fault> {
        match *self {}
    }
}
