"""The pipeline: one module per arrow. They meet in stored state and never call one another.

file --importing--> Item --embedding--> vectors --queueing--> Lease --answering--> Answer
                                           |                                         |
                                           |                                 adapting -> Snapshot
                                           +--- queueing <--- (its predictions) <----+
suggesting: what a snapshot says of an item   reviewing: accepting it   exporting: the file that comes out
"""
