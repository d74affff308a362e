Thumbnails keep no copies of key frames: they are read out of the segments that begin with them, which saves up to a megabyte a stream.
