//! What a deployment is configured to do: the shape of the file, its checks, and errors that name the place.
