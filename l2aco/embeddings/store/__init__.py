"""The store: vectors and records in generations, searched through FAISS."""
