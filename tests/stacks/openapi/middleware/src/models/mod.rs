pub mod job_list;
pub use self::job_list::JobList;
