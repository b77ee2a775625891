//! Evidence of the real byte formats, issued by keys that anybody can derive.
