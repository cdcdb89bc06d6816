//! Describes behavior that concerns several items. These modules contain documentation only.

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("integration.md")]
pub mod integration {}

#[doc = include_str!("lifetimes.md")]
pub mod lifetimes {}

#[cfg(feature = "oauth2")]
#[doc = include_str!("oauth2.md")]
#[allow(clippy::doc_markdown, reason = "names of products")]
pub mod oauth2 {}

#[doc = include_str!("observation.md")]
pub mod observation {}

#[doc = include_str!("performance.md")]
pub mod performance {}

#[doc = include_str!("platforms.md")]
pub mod platforms {}

#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[doc = include_str!("rotation.md")]
pub mod rotation {}

#[doc = include_str!("stability.md")]
pub mod stability {}
