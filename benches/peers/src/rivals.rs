//! One file for each rival.

mod service_account;
pub(crate) mod tls;

pub(crate) mod aliri;
pub(crate) mod aws;
pub(crate) mod azure;
pub(crate) mod by_hand;
pub(crate) mod everbearer;
pub(crate) mod gcp_auth;
pub(crate) mod google;
pub(crate) mod huskarl;
pub(crate) mod middle;
pub(crate) mod moka;
pub(crate) mod object_store;
pub(crate) mod reqwest_auth;
pub(crate) mod shared_clone;
pub(crate) mod shared_clone_checked;
pub(crate) mod static_header;
pub(crate) mod token_source;
pub(crate) mod yup;

/// What a generic function makes of each rival, in one `Vec`: each stays a type of its own, so that
/// the loops that are measured have no dynamic calls in them.
macro_rules! of_every_rival {
    ($make:ident($($argument:expr),*)) => {
        vec![
            $make::<$crate::rivals::static_header::StaticHeader>($($argument),*),
            $make::<$crate::rivals::shared_clone::SharedClone>($($argument),*),
            $make::<$crate::rivals::shared_clone_checked::SharedCloneChecked>($($argument),*),
            $make::<$crate::rivals::everbearer::Everbearer>($($argument),*),
            $make::<$crate::rivals::by_hand::ByHand>($($argument),*),
            $make::<$crate::rivals::moka::Moka>($($argument),*),
            $make::<$crate::rivals::middle::Middle>($($argument),*),
            $make::<$crate::rivals::aliri::Aliri>($($argument),*),
            $make::<$crate::rivals::huskarl::Huskarl>($($argument),*),
            $make::<$crate::rivals::aws::Aws>($($argument),*),
            $make::<$crate::rivals::object_store::ObjectStore>($($argument),*),
            $make::<$crate::rivals::google::Google>($($argument),*),
            $make::<$crate::rivals::gcp_auth::GcpAuth>($($argument),*),
            $make::<$crate::rivals::token_source::TokenSource>($($argument),*),
            $make::<$crate::rivals::reqwest_auth::ReqwestAuth>($($argument),*),
            $make::<$crate::rivals::yup::Yup>($($argument),*),
            $make::<$crate::rivals::azure::Azure>($($argument),*),
        ]
    };
}
pub(crate) use of_every_rival;
