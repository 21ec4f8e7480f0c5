"""Images that lie elsewhere: on any file system of fsspec, or as members of tar shards.

Readers see a tree of files on this machine, in the user's cache. Texts (tags, lists, annotations) are copied into it.
Pictures are pointers, small files that tell where the content lies (`pointers.py`); it is fetched when a picture is
decoded, and kept in a bounded folder (`kept.py`). So every layout of `weakseg.data` is read from anywhere by the code
that reads it from a disk, and files of this machine are read as ever.

`mirror.py` makes the tree of a URL, `shards.py` that of tar shards, and `places.py` chooses.
"""
