//! Big-endian numbers at the ends of the body and the header.

use super::{Message, TOO_SHORT};
use crate::error::Result;

/// One pair of accessors for a big-endian number at the ends of the header or the body.
macro_rules! numbers {
    ($($int:ident: $append:ident $insert:ident $trim:ident $chop:ident
        $happend:ident $hinsert:ident $htrim:ident $hchop:ident;)*) => {
        /// Big-endian numbers at either end of the body and the header.
        ///
        /// Trimming and chopping fail with [`Error::InvalidArgument`](crate::Error::InvalidArgument) and change nothing when too little is there;
        /// header forms that add fail so when the header would pass 64 bytes.
        impl Message {$(
            #[doc = concat!("Adds a `", stringify!($int), "` at the end of the body.")]
            pub fn $append(&mut self, value: $int) {
                self.append(&value.to_be_bytes());
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the front of the body.")]
            pub fn $insert(&mut self, value: $int) {
                self.insert(&value.to_be_bytes());
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the front of the body.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the body is too short."]
            #[inline]
            pub fn $trim(&mut self) -> Result<$int> {
                let Some((bytes, _)) = self.body().split_first_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.trim(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the end of the body.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the body is too short."]
            pub fn $chop(&mut self) -> Result<$int> {
                let Some((_, bytes)) = self.body().split_last_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.chop(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the end of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the header would pass 64 bytes."]
            #[inline]
            pub fn $happend(&mut self, value: $int) -> Result<()> {
                self.header_append(&value.to_be_bytes())
            }

            #[doc = concat!("Adds a `", stringify!($int), "` at the front of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the header would pass 64 bytes."]
            pub fn $hinsert(&mut self, value: $int) -> Result<()> {
                self.header_insert(&value.to_be_bytes())
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the front of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the header is too short."]
            #[inline]
            pub fn $htrim(&mut self) -> Result<$int> {
                let Some((bytes, _)) = self.header().split_first_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.header_trim(size_of::<$int>())?;
                Ok(value)
            }

            #[doc = concat!("Removes a `", stringify!($int), "` from the end of the header.")]
            #[doc = "\n\n# Errors\n\n[`Error::InvalidArgument`](crate::Error::InvalidArgument) when the header is too short."]
            pub fn $hchop(&mut self) -> Result<$int> {
                let Some((_, bytes)) = self.header().split_last_chunk() else { return Err(TOO_SHORT) };
                let value = $int::from_be_bytes(*bytes);
                self.header_chop(size_of::<$int>())?;
                Ok(value)
            }
        )*}
    };
}

numbers! {
    u16: append_u16 insert_u16 trim_u16 chop_u16 header_append_u16 header_insert_u16 header_trim_u16 header_chop_u16;
    u32: append_u32 insert_u32 trim_u32 chop_u32 header_append_u32 header_insert_u32 header_trim_u32 header_chop_u32;
    u64: append_u64 insert_u64 trim_u64 chop_u64 header_append_u64 header_insert_u64 header_trim_u64 header_chop_u64;
}
