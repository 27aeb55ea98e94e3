"""The laptop: a local Supabase, QStash, Instagram and Vercel, so that the pipeline runs with no account.

Never deployed. Nothing in `api/` or `lib/` may import it.
"""
